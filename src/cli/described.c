#include "cli/described.h"

#include "base/status.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* An options_reader_fn: the command's table is gone when it returns. */
static void keep(void *ctx, const struct option *options, size_t count)
{
    struct described *d = ctx;
    d->count = count < MOST_DESCRIBED ? count : MOST_DESCRIBED;
    memcpy(d->options, options, d->count * sizeof *options);
}

static bool has_help_all(const struct described *d)
{
    for (size_t i = 0; i < d->count; i++)
        if (strcmp(d->options[i].name, "help-all") == 0)
            return true;
    return false;
}

static void run_help(struct described *d, const struct command *command, char *help)
{
    char name[32];
    char *argv[] = {name, help, NULL};
    snprintf(name, sizeof name, "%s", command->name);
    options_read(keep, d);
    command->run(2, argv);
    options_read(NULL, NULL);
    fflush(stdout);
}

/* Commands print their usage to stdout, which is a temporary file meanwhile. */
enum simclr_status describe(struct described *d, const struct command *command, struct simclr_error *err)
{
    *d = (struct described){.count = 0};
    fflush(stdout);
    FILE *file = tmpfile();
    int out = file ? dup(STDOUT_FILENO) : -1;
    bool caught = out >= 0 && dup2(fileno(file), STDOUT_FILENO) >= 0;
    int why = errno;
    if (caught) {
        char help[] = "--help", all[] = "--help-all";
        run_help(d, command, help);
        if (has_help_all(d)) { /* the same usage, and each option under its own heading */
            rewind(file);
            run_help(d, command, all);
        }
        caught = dup2(out, STDOUT_FILENO) >= 0;
        why = errno;
        rewind(file);
        d->usage[fread(d->usage, 1, sizeof d->usage - 1, file)] = 0;
    }
    if (out >= 0)
        close(out);
    if (file)
        fclose(file);
    return caught ? SIMCLR_OK : fail(err, SIMCLR_ERR_IO, "cannot read the help of %s: %s", command->name, strerror(why));
}
