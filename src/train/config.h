/* The settings of a run by name: one table serves config.json, the command line and its help. */
#ifndef TRAIN_CONFIG_H
#define TRAIN_CONFIG_H

#include "simclr/status.h"
#include "train/trainer.h"

#include <stdbool.h>
#include <stddef.h>

enum setting_type {
    SETTING_INT, SETTING_SIZE, SETTING_U64, SETTING_FLOAT, SETTING_DOUBLE, SETTING_BOOL,
    SETTING_CHOICE, /* an int or enum, named by choices */
    SETTING_TEXT,   /* char array of `size` bytes */
    SETTING_PRESET, /* augment: a name, and every augmentation parameter with it */
    SETTING_EVERY,  /* checkpoint_every: steps, or "10m" minutes */
};

struct setting_choice {
    const char *name;
    int value;
};

struct setting {
    const char *name;    /* "batch-size" on the command line, "batch_size" in config.json */
    char letter;         /* 'b', or 0 */
    const char *alias;   /* a second long name, or NULL */
    const char *group;   /* heading in the help */
    const char *value;   /* what the help calls the value; NULL: a switch */
    const char *help;
    enum setting_type type;
    size_t offset, size; /* in struct train_config */
    double low, high;    /* allowed range of numbers, both included */
    const struct setting_choice *choices; /* ends with a NULL name */
    bool decides;        /* whether the trained weights depend on it */
};

/* The table; data (positional on the command line) is its first entry. */
const struct setting *train_settings(size_t *count);
const struct setting *train_setting_find(const char *name); /* NULL: there is none */

/* Sets one setting from text; the error names `label` (say "--lr") and the text. */
enum simclr_status train_setting_set(struct train_config *config, const struct setting *setting, const char *text,
                                     const char *label, struct simclr_error *err);

/* Its name in config.json: "batch_size" of "batch-size". */
enum { SETTING_KEY = 64 };
void train_setting_key(char key[SETTING_KEY], const struct setting *setting);

/* The setting's value as JSON ("\"adam\"", "0.06"), freed with free(); NULL: no memory, or a text that is not UTF-8. */
char *train_setting_text(const struct train_config *config, const struct setting *setting);

/* Checks what no single setting can (crop minimum over maximum ...) and settles what follows from others (network.seed; a micro-batch that is the
 * whole batch). */
enum simclr_status train_config_settle(struct train_config *config, struct simclr_error *err);

/* The settings as JSON, one a line, in the table's order; equal settings give equal text. decides_only leaves out what cannot
 * change the weights (paths, kNN, checkpoints): the text a resumed run must match. NULL: no memory, or a path that is not
 * UTF-8. Freed with free(). */
char *train_config_text(const struct train_config *config, bool decides_only);

/* Whether two such texts (decides_only) are the same; else SIMCLR_ERR_USAGE, naming each setting that differs and both values. path:
 * of the file that holds the old one. */
enum simclr_status train_config_same(const char *path, const char *old, const char *new, struct simclr_error *err);

/* config.json. Loading changes only the settings that the file names (augment first, so that its parameters can follow in any
 * order); unknown names and values out of range are errors. */
enum simclr_status train_config_save(const struct train_config *config, const char *path, struct simclr_error *err);
enum simclr_status train_config_load(struct train_config *config, const char *path, struct simclr_error *err);
/* The same of a text that stands in the file `path`. */
enum simclr_status train_config_parse(struct train_config *config, const char *path, const char *text, struct simclr_error *err);

#endif
