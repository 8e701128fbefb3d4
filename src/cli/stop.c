#include "cli/cli.h"

#include <stddef.h>

static volatile sig_atomic_t stop_requested;

static void request_stop(int signal)
{
    (void)signal;
    stop_requested = 1;
}

const volatile sig_atomic_t *cli_catch_stop(void)
{
    struct sigaction stop = {.sa_handler = request_stop, .sa_flags = (int)SA_RESETHAND | SA_RESTART};
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    signal(SIGPIPE, SIG_IGN); /* a reader of the progress that goes away does not end the work */
    signal(SIGXFSZ, SIG_IGN); /* a file that grows beyond its limit is an error of write, and told */
    return &stop_requested;
}
