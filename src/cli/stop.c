#include "cli/cli.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

static atomic_int stop_signal; /* the first that came, or 0 */
static bool on_terminal;       /* where a bar or "^C" may stand on the line */

/* Told here, for the step at hand may last minutes. The second signal is sent again with its default, which ends the program. */
static void request_stop(int number)
{
    static const char text[] = "\nsimclr: stopping; once more to quit at once\n";
    int reason = errno, none = 0;
    if (atomic_compare_exchange_strong(&stop_signal, &none, number)) {
        ssize_t ignored = write(STDERR_FILENO, text + !on_terminal, sizeof text - 1 - !on_terminal);
        (void)ignored; /* the terminal may be gone */
    } else {
        signal(number, SIG_DFL);
        raise(number);
    }
    errno = reason;
}

/* What the caller ignores stays ignored: nohup ignores SIGHUP, and a script's shell SIGINT for what it starts with "&". */
void cli_catch_stop(void)
{
    const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction stop = {.sa_handler = request_stop, .sa_flags = SA_RESTART}, old;
    on_terminal = isatty(STDERR_FILENO);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaddset(&stop.sa_mask, signals[i]);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(signals[i], &stop, NULL);
    signal(SIGPIPE, SIG_IGN); /* a reader of the progress that goes away does not end the work */
    signal(SIGXFSZ, SIG_IGN); /* a file that grows beyond its limit is an error of write, and told */
}

bool cli_stopped(void *ignored)
{
    (void)ignored;
    return atomic_load(&stop_signal) != 0;
}

int cli_stop_code(void)
{
    return 128 + atomic_load(&stop_signal);
}
