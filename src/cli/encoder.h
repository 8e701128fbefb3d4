/* What the commands that use a run's encoder share: options, kernels, the encoder itself. */
#ifndef CLI_ENCODER_H
#define CLI_ENCODER_H

#include "cli/cli.h"
#include "train/encoder_data.h"

struct encoder_command {
    struct train_config given; /* of which limit and max_pixels are options; 0: not given */
    int batch_size;
    const char *isa;
    int threads;
    bool help;
    struct engine engine;
    struct encoder encoder;
};

/* A command line: RUN and more, the command's own options, then --batch-size, --limit, --max-pixels and the common ones. */
struct encoder_usage {
    const char *name;         /* "simclr embed" */
    const char *text;         /* what --help says before the options */
    const struct option *own; /* own_count, ENCODER_MOST_OWN at most, in the order of the help */
    size_t own_count;
    const char *limit_help;   /* of --limit; NULL: as usual */
    const char *batch_help;   /* of --batch-size; NULL: as usual */
    const char **arguments;   /* room for `most` */
    size_t most;
};
enum { ENCODER_MOST_OWN = 8 };

/* count: of the arguments. With --help (command->help) that is printed, and nothing else is to be done. */
enum simclr_status encoder_command_parse(struct encoder_command *command, const struct encoder_usage *usage, int argc, char **argv,
                                         size_t *count, struct simclr_error *err);

/* Signals, kernels and the encoder of run; warnings go to stderr. encoder_close(&command->encoder). */
enum simclr_status encoder_command_open(struct encoder_command *command, const char *run, struct simclr_error *err);

/* Which images a classifier is tested on (encoder_run_data), and whether the encoder may have seen them in training; labels it never saw.
 * other_data: not its run's. */
const char *encoder_test_origin(const struct encoder_command *command, bool other_data, const struct run_data *data);

/* Lists on stderr what could not be read. */
void encoder_tell_broken(const struct image_parts *parts);

/* --split: which images of DATA. Target: an enum image_splits. */
option_set_fn option_split;
struct option split_option(enum image_splits *splits);

/* A setting of training (train/config.h) as an option of these commands, into config. */
struct option encoder_setting(const char *name, const char *help, struct train_config *config);

/* The images of data (NULL: of the run) with the options given. */
struct image_source encoder_images(const struct encoder_command *command, const char *data);
/* The same of image files (count). */
struct image_source encoder_image_files(const struct encoder_command *command, const char *const *files, size_t count);
/* Of what a command line has: nothing, DATA, or image files. */
struct image_source encoder_data_or_files(const struct encoder_command *command, const char *const *arguments, size_t count);

#endif
