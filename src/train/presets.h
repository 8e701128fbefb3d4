/* Named sets of settings. What a preset does not name stays as it is; options given beside it go over it. */
#ifndef TRAIN_PRESETS_H
#define TRAIN_PRESETS_H

#include "train/trainer.h"

enum { PRESET_SETTINGS = 16 };

struct preset {
    const char *name;
    const char *settings[PRESET_SETTINGS][2]; /* name and value; ends with a NULL name */
    const char *expect; /* what we measured with exactly these settings, or NULL */
};

/* The table; ends with a NULL name. */
extern const struct preset presets[];

enum simclr_status preset_apply(struct train_config *config, const char *name, const char *label, struct simclr_error *err);

/* The preset whose settings these are, with the defaults for all else that decides the weights; NULL: none. The config is as given, before
 * the data settled any of it. */
const struct preset *preset_of(const struct train_config *config);

#endif
