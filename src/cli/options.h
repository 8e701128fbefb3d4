/* Command lines with GNU spelling, from a table: --name=value, --name value, -n value, -nvalue, switches with --no-name, `_` for
 * `-`, and `--` before what begins with a dash. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "simclr/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct option;

/* Takes the text of one option ("true" or "false" for a switch). label is how it was spelled, for errors: "--lr". */
typedef enum simclr_status option_set_fn(const struct option *option, const char *text, const char *label,
                                         struct simclr_error *err);

struct option {
    const char *name;  /* without dashes */
    const char *alias; /* another long name, or NULL */
    char letter;       /* or 0 */
    const char *group; /* heading in the help */
    const char *value; /* what the help calls the value; NULL: a switch */
    const char *help;
    int rank;          /* lower ranks are applied first, whatever the order on the command line */
    option_set_fn *set;
    void *target;
    const void *data;  /* set's own */
    bool more;         /* left out of the help */
};

/* Parses argv[1..argc) and applies the options; other arguments go to rest (room for most), in order. command is for the
 * sentences: "simclr train". Everything wrong is SIMCLR_ERR_USAGE. */
enum simclr_status options_parse(int argc, char **argv, const struct option *options, size_t count, const char *command,
                                 const char **rest, size_t most, size_t *rest_count, struct simclr_error *err);

/* Prints the options under their headings, in columns, without those that are `more`. */
void options_help(FILE *out, const struct option *options, size_t count);

/* From here on options_help gives its whole table to the reader, and prints nothing; NULL: it prints again. So completion and the man page
 * come from the tables that the commands parse with. */
typedef void options_reader_fn(void *ctx, const struct option *options, size_t count);
void options_read(options_reader_fn *reader, void *ctx);

/* The candidate nearest to text, if it is near enough to be meant; else NULL. */
const char *nearest_word(const char *text, const char *const *candidates, size_t count);

/* Setters of common targets: const char *; bool; int, in the range that data names; size_t of bytes ("400M",
 * "1.5G": powers of 1024). */
struct option_range {
    int low, high;
};
option_set_fn option_text, option_switch, option_int, option_bytes;

#endif
