"""Loss terms over the steps."""
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from .reading import Run  # noqa: E402

TERMS = ["total", "sdf", "off", "eikonal", "normal", "align", "smooth", "gradient_norm"]


def plot_history(sources, output):
    """One panel per term, one line per result."""
    results = [result for source in sources for result in (source if isinstance(source, Run) else [source])]
    results = [result for result in results if result.history is not None]
    if not results:
        raise ValueError("no result with a history")
    figure, panels = plt.subplots(2, 4, figsize=(15, 6.5), sharex=True)
    for result in results:
        history = result.history
        for panel, term in zip(panels.flat, TERMS):
            panel.plot(history["step"], history[term], linewidth=1, label=result.name)
            panel.set_title(term.replace("_", " "), fontsize=10, loc="left")
            panel.set_yscale("log")
            panel.grid(alpha=0.25)
    for panel in panels[-1]:
        panel.set_xlabel("step")
    if len(results) <= 8:
        panels.flat[0].legend(fontsize=7, frameon=False)
    figure.tight_layout()
    figure.savefig(output, dpi=110)
    plt.close(figure)
