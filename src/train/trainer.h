/* A training run from settings to an evaluated encoder. Reports by callback; prints nothing. */
#ifndef TRAIN_TRAINER_H
#define TRAIN_TRAINER_H

#include "base/engine.h"
#include "data/augment.h"
#include "nn/network.h"
#include "train/optim.h"
#include "train/schedule.h"

enum cache_mode { CACHE_AUTO, CACHE_RAM, CACHE_NONE }; /* AUTO: while they fit in a share of the free memory */

/* What follows when a step's loss, gradient or norm statistics are not finite. Nothing of the step is kept either way. */
enum on_nan { ON_NAN_STOP, ON_NAN_SKIP };

/* Everything that decides a run's result: what config.json holds. */
struct train_config {
    char data[1024];          /* "" : the generated set */
    size_t limit;
    size_t max_pixels;        /* of an image; more is broken */
    enum cache_mode cache;    /* of decoded images */
    char init[1024];          /* a file of weights to begin from; "": from the seed */
    struct network_config network; /* image_size 0 and stem AUTO (-1) are resolved from the data at start */
    int batch_size, epochs, n_views;
    int micro_batch;          /* images of a pass through the network, from which norms take their statistics; 0: the whole batch */
    bool keep_last;
    double temperature;
    struct optim_config optim;
    double lr;
    enum lr_scaling lr_scaling;
    double warmup_epochs;
    char augment_name[16];
    struct augment_config augment;
    uint64_t seed;
    int knn_every, knn_k;      /* epochs; 0: off */
    double knn_temperature;
    uint64_t checkpoint_every; /* steps; 0: by time, or at the end of an epoch */
    double checkpoint_minutes; /* 0: off */
    enum on_nan on_nan;
    int keep;                  /* newest checkpoints that stay on disk; 0: all */
    size_t memory;             /* bytes that the run may take, 0: what there is. Not in config.json: as a run begins it settles micro_batch */
};

struct train_progress {
    const struct train_config *config; /* with what the data decided */
    size_t images, queries;    /* trained on; held out for kNN, or 0 */
    int classes;               /* 0: no labels */
    uint64_t steps_per_epoch;
    int epoch, epochs;         /* from 1 */
    uint64_t step, steps;      /* done, and of the whole run */
    double loss;               /* mean over the epoch so far; NaN: no step yet, or all were skipped */
    double floor, ceiling;
    double images_per_second;  /* in this epoch's training steps, without evaluations and checkpoints */
    double eta_seconds;        /* of all that is left */
    double data_share;         /* of the core-seconds of this epoch's steps: reading, decoding, augmenting */
    double knn;                /* < 0: not computed yet */
    double knn_untrained;
    double retrieval1;         /* as loss */
    const char *phase;         /* "data" (nothing else is known), "begin" (all checks succeeded), "train", "knn", "checkpoint";
                                  "notice", "warning": text is a sentence for the user */
    const char *text;          /* else NULL */
};

/* Called after each step and as each phase begins; returning non-zero after a step stops the run after a checkpoint
 * (SIMCLR_ERR_CANCELLED). */
typedef int train_report_fn(void *ctx, const struct train_progress *progress, bool epoch_done);

struct train_result {
    uint64_t steps, trained;   /* of the whole run so far, and of this call */
    uint64_t skipped;          /* steps of the whole run so far whose numbers were not finite */
    size_t broken;             /* images skipped, listed in RUN/broken.txt */
    double loss, knn_untrained, knn;
};

void train_defaults(struct train_config *config); /* the reference's: resnet50, batch 32, lr 3e-4, Adam, tau 0.07, 50 epochs... */

/* Runs config in folder run. resume: go on from the newest whole checkpoint there, or start if there is none. Without it a folder that
 * already holds a run is refused; so are files of a run's names that are not this run's. Nothing is written before the first step is
 * done. engine->stop ends it as report does, in the midst of an evaluation too: that is made again when the run is resumed. */
enum simclr_status train_run(const struct train_config *config, const char *run, bool resume, const struct engine *engine,
                             train_report_fn *report, void *ctx, struct train_result *result, struct simclr_error *err);

#endif
