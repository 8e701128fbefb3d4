/* A step whose numbers are not finite: where that began, and a folder from which it can be repeated.
 *
 * RUN/nonfinite-%08d/, numbered by the step: config.json; checkpoint-*.safetensors, the run's state before the step;
 * batch.safetensors, the views as the network saw them, so that neither images nor augmentation are needed again; images.txt, the
 * batch's images, a line each. */
#ifndef TRAIN_NONFINITE_H
#define TRAIN_NONFINITE_H

#include "train/checkpoint.h"
#include "train/step.h"
#include "train/trainer.h"

/* A watch_fn's ctx that keeps the first tensor that is wrong, in the order of computation. */
struct first_wrong {
    bool found;
    struct watched tensor;
};
void first_wrong_see(struct first_wrong *first, const struct watched *tensor);

/* "the output of layer1.0.conv1 has 12 NaN and 3 infinities among 4096 values"; "nothing ..." where nothing is wrong. */
void first_wrong_text(char *text, size_t size, const struct first_wrong *first);

struct nonfinite_step {
    const char *run;
    const struct train_config *config;
    const struct checkpoint_target *target;
    const struct checkpoint_state *state;  /* before the step */
    const struct step_batch *batch;
    const char *found;                     /* first_wrong_text */
    void (*name)(void *ctx, int image, char *text, size_t size); /* of images 0 to batch->images - 1 */
    void *name_ctx;
};

/* Writes the folder and its path (4096 bytes); "" if the run has `most` others. */
enum simclr_status nonfinite_write(char *folder, const struct nonfinite_step *step, size_t most, struct simclr_error *err);

struct replay {
    char folder[4096];    /* of the step */
    uint64_t step;        /* counted from 1 */
    int images;
    char recorded[256];   /* what the run found */
    struct ntxent_result result;
    struct first_wrong first;
};

/* Repeats a step from its folder, or the newest one in a run's folder, telling every tensor. `begin` is called once, before the first
 * one, when the folder has been read. Nothing is written. */
enum simclr_status nonfinite_replay(struct replay *replay, const char *path, const struct engine *engine,
                                    void (*begin)(void *ctx, const struct replay *replay), watch_fn *watch, void *ctx,
                                    struct simclr_error *err);

#endif
