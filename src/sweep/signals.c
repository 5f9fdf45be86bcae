/* Signal handlers (see signals.h): they only set a flag, or make a file and die. */
#include "sweep/signals.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const int stops[] = {SIGTERM, SIGINT, SIGUSR1, SIGUSR2};
static const int fatals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
enum { STOPS = sizeof stops / sizeof stops[0], FATALS = sizeof fatals / sizeof fatals[0], STACK = 64 * 1024 };

static atomic_int stop_signal; /* other threads than the one that a signal interrupts ask for it */
static volatile sig_atomic_t has_mark;
static char mark[QL_PATH_SIZE];
static _Thread_local volatile sig_atomic_t has_thread_mark;
static _Thread_local char thread_mark[QL_PATH_SIZE];
static char fatal_stack[STACK]; /* a stack overflow leaves no room for its own handler */
static struct sigaction before[STOPS + FATALS];

static void on_stop(int number)
{
    if (number == SIGINT && atomic_load(&stop_signal) == SIGINT) {
        static const char text[] = "\nsecond interrupt: ending at once, work since the last checkpoint is lost\n";
        ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
        (void)ignored;
        _exit(128 + SIGINT);
    }
    atomic_store(&stop_signal, number);
}

/* SA_RESETHAND: returning repeats the fault with the default action, so the system reports the right death. */
static void on_fatal(int number)
{
    if (has_mark != 0 || has_thread_mark != 0) {
        int file = open(has_thread_mark != 0 ? thread_mark : mark, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
        if (file >= 0) (void)close(file);
    }
    (void)raise(number);
}

static ql_status install(int number, void (*handler)(int), int flags, struct sigaction *old)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = flags;
    (void)sigemptyset(&action.sa_mask);
    if (sigaction(number, &action, old) == 0) return QL_OK;
    return QL_FAIL(INTERNAL, "signal %d: %s", number, strerror(errno));
}

ql_status ql_signals_install(void)
{
    stack_t stack = {.ss_sp = fatal_stack, .ss_size = sizeof fatal_stack};
    atomic_store(&stop_signal, 0);
    (void)sigaltstack(&stack, NULL);
    for (int i = 0; i < STOPS; ++i) QL_TRY(install(stops[i], on_stop, SA_RESTART, &before[i]));
    for (int i = 0; i < FATALS; ++i)
        QL_TRY(install(fatals[i], on_fatal, (int)SA_RESETHAND | SA_ONSTACK, &before[STOPS + i]));
    return QL_OK;
}

void ql_signals_restore(void)
{
    ql_signals_set_mark(NULL);
    for (int i = 0; i < STOPS; ++i) (void)sigaction(stops[i], &before[i], NULL);
    for (int i = 0; i < FATALS; ++i) (void)sigaction(fatals[i], &before[STOPS + i], NULL);
}

int ql_signals_stop(void) { return atomic_load(&stop_signal); }

const char *ql_signals_name(int number)
{
    static const char *const names[] = {"SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2"};
    for (int i = 0; i < STOPS; ++i)
        if (stops[i] == number) return names[i];
    return "signal";
}

void ql_signals_set_mark(const char *path)
{
    has_mark = 0;
    if (path == NULL || path[0] == '\0' || strlen(path) >= sizeof mark) return;
    (void)strcpy(mark, path);
    has_mark = 1;
}

void ql_signals_set_thread_mark(const char *path)
{
    has_thread_mark = 0;
    if (path == NULL || path[0] == '\0' || strlen(path) >= sizeof thread_mark) return;
    (void)strcpy(thread_mark, path);
    has_thread_mark = 1;
}
