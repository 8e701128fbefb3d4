/* Advice on settings that are known mistakes, and on a run that has collapsed. */
#ifndef TRAIN_ADVICE_H
#define TRAIN_ADVICE_H

#include "train/trainer.h"

enum { ADVICE_COLUMNS = 80 }; /* a sentence with "advice: " before it fits */

/* The first advice of the table from *at on that holds for these settings, as the data resolved them; *at is moved behind it. NULL:
 * nothing more. */
const char *advice_next(const struct train_config *config, int *at);

/* An epoch's means, of how many images, and how many steps the run has had after its warm-up. */
struct epoch_figures {
    double loss, floor, ceiling, uniformity;
    uint64_t images, warm_steps;
};

/* What to say of an epoch that has learned nothing: all projections alike, or a loss at its ceiling. NULL: it has, or it is too early to
 * tell. */
const char *advice_on_collapse(const struct epoch_figures *epoch);

#endif
