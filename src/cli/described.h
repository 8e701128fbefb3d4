/* What a command's --help is made of, for completion and the man page. */
#ifndef CLI_DESCRIBED_H
#define CLI_DESCRIBED_H

#include "cli/cli.h"

enum { MOST_DESCRIBED = 128 };

struct described {
    char usage[4096];                      /* what --help prints before the options */
    struct option options[MOST_DESCRIBED]; /* all of them, names and help alone */
    size_t count;
};

/* Runs the command's --help (--help-all, where it has that); nothing is shown. */
enum simclr_status describe(struct described *d, const struct command *command, struct simclr_error *err);

#endif
