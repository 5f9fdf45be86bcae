/* Signals of a run. SIGTERM, SIGINT, SIGUSR1 and SIGUSR2 ask it to finish the current step, checkpoint and stop; a second
 * SIGINT ends it at once. A fatal signal (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT) first leaves a mark beside the
 * checkpoint of the mesh at work, so that the next start knows whose fault the death was. */
#ifndef QL_SWEEP_SIGNALS_H
#define QL_SWEEP_SIGNALS_H

#include "base/status.h"

/* Installs the handlers; restore puts back what was there. */
ql_status ql_signals_install(void);
void ql_signals_restore(void);

/* The signal that asked to stop, 0 = none yet; and its name ("SIGTERM"). */
int ql_signals_stop(void);
const char *ql_signals_name(int signal);

/* The file to create when this process crashes; NULL or "" = none. Longer than a path: none. */
void ql_signals_set_mark(const char *path);

/* The same for crashes in the calling thread, which goes before the other. */
void ql_signals_set_thread_mark(const char *path);

#endif
