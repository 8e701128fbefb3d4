/* The command line of what takes a run's settings: train, and plan. */
#ifndef CLI_RUN_OPTIONS_H
#define CLI_RUN_OPTIONS_H

#include "cli/cli.h"

struct run_options {
    struct train_config config; /* settled */
    const char *config_file, *isa;
    int threads;
    bool help, help_all, no_data; /* help: any was asked for, and given; no_data: there was no DATA, nor a file of settings that could name it */
};

/* Called once the command's own options are known, before the settings are: may name a file of settings that they go over, or refuse. */
typedef enum simclr_status run_config_fn(void *ctx, const char **file, struct simclr_error *err);

struct run_command {
    const char *name;         /* "simclr train" */
    const char *usage;        /* what --help says before the options */
    const struct option *own; /* the command's, in the order of the help */
    size_t own_count;         /* MOST_OWN_OPTIONS at most */
    run_config_fn *base;      /* or NULL */
    void *ctx;
};
enum { MOST_OWN_OPTIONS = 8 };

/* DATA and options, in this order of precedence: the command line, --config or base's file, defaults. With --help the help is printed,
 * and nothing else is looked at. */
enum simclr_status run_options_parse(struct run_options *options, const struct run_command *command, int argc, char **argv,
                                     struct simclr_error *err);

/* --config, for the command's own options. */
struct option run_config_option(struct run_options *options, const char *group);

#endif
