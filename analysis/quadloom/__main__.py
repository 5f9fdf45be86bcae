"""python3 -m quadloom table|render|plot|compare|report"""
import argparse
import sys

from . import open as open_path


def command_table(options):
    from .tables import print_table
    print_table(open_path(options.run), options.columns, options.sort, options.descending, sys.stdout)


def command_render(options):
    from .render import render
    render(open_path(options.result), options.output, azimuth=options.azimuth, elevation=options.elevation,
           size=options.size, what=options.what, up=options.up, title=options.title)


def command_plot(options):
    from .plots import plot_history
    plot_history([open_path(path) for path in options.paths], options.output)


def command_compare(options):
    from .tables import print_comparison
    return print_comparison(open_path(options.first), open_path(options.second), sys.stdout)


def command_report(options):
    from .report import write_report
    write_report(open_path(options.run), options.output, options.pictures)


def parser():
    top = argparse.ArgumentParser(prog="python3 -m quadloom", description="Tables and pictures of quadloom's results.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    table = commands.add_parser("table", help="a row per mesh of a run")
    table.add_argument("run", metavar="RUN_DIR")
    table.add_argument("--columns", help="comma-separated names, or all", default=None)
    table.add_argument("--sort", help="column to sort by (default mesh)", default="mesh")
    table.add_argument("--descending", action="store_true", help="largest first")
    table.set_defaults(run_command=command_table)

    render = commands.add_parser("render", help="picture of a field or of quads on its mesh")
    render.add_argument("result", metavar="RESULT.h5")
    render.add_argument("-o", "--output", required=True, metavar="OUT.png")
    render.add_argument("--what", choices=("lines", "crosses", "quads"), default="lines",
                        help="lines along the field (default), a cross per face, or the quad mesh")
    render.add_argument("--azimuth", type=float, default=35, metavar="DEG")
    render.add_argument("--elevation", type=float, default=20, metavar="DEG")
    render.add_argument("--up", choices="xyz", default="y", help="axis that points up (default y)")
    render.add_argument("--size", type=int, default=1200, metavar="PIXELS")
    render.add_argument("--title", default=None)
    render.set_defaults(run_command=command_render)

    plot = commands.add_parser("plot", help="loss terms over the steps")
    plot.add_argument("paths", nargs="+", metavar="RESULT.h5|RUN_DIR")
    plot.add_argument("-o", "--output", required=True, metavar="OUT.png")
    plot.set_defaults(run_command=command_plot)

    compare = commands.add_parser("compare", help="two results, or the meshes that two runs have in common")
    compare.add_argument("first", metavar="RUN_DIR|RESULT.h5")
    compare.add_argument("second", metavar="RUN_DIR|RESULT.h5")
    compare.set_defaults(run_command=command_compare)

    report = commands.add_parser("report", help="one page (Markdown) with pictures")
    report.add_argument("run", metavar="RUN_DIR")
    report.add_argument("-o", "--output", required=True, metavar="FOLDER")
    report.add_argument("--pictures", type=int, default=24, metavar="N", help="fields drawn at most (default 24)")
    report.set_defaults(run_command=command_report)
    return top


def main():
    options = parser().parse_args()
    try:
        return options.run_command(options) or 0
    except (OSError, ValueError, KeyError) as problem:
        print(f"quadloom: {problem}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 0


sys.exit(main())
