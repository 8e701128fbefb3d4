/* Training with SimCLR: step by step on any set of images, or a whole run in a folder, as the program does it.
 *
 * Settings are texts "name=value", the last one NULL; NULL for all of them: the defaults. Names, values, ranges and defaults are those of
 * the program's options, which `simclr train --help-all` lists: {"arch=resnet18", "image-size=32", "batch-size=256", "optimizer=sgd",
 * "lr=0.06", NULL}. A later one goes over an earlier one, but for `preset` and `augment`, sets of settings, which come first wherever they
 * stand. An unknown name or a wrong value is SIMCLR_ERR_USAGE. */
#ifndef SIMCLR_TRAIN_H
#define SIMCLR_TRAIN_H

#include "simclr/dataset.h"
#include "simclr/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Step by step ---- */

typedef struct simclr_trainer simclr_trainer;

/* Network, optimiser and batches for `epochs` passes over the set, whose images it augments itself; the set stays the caller's and must
 * outlive it. Equal settings and images give equal weights, and those of the program's run with --knn-every 0. The memory of a step is taken
 * now; what decoding takes, and a cache of decoded images (the setting cache), as they are met. knn-* and checkpoint-every say nothing
 * here, keep counts for simclr_trainer_save; data and limit belong to the set. */
SIMCLR_API enum simclr_status simclr_trainer_create(simclr_trainer **trainer, const simclr_engine *engine, const simclr_dataset *set,
                                                    const char *const *settings, struct simclr_error *err);
SIMCLR_API void simclr_trainer_free(simclr_trainer *trainer);

/* One step: two views of each image of the next batch, NT-Xent, gradients, the optimiser. loss receives the batch's, or may be NULL. A loss
 * or gradient that is not finite leaves the weights as they were and is SIMCLR_ERR_NONFINITE; with on-nan=skip it is logged, the step
 * counts, and loss is NaN. After any other error, too, weights and steps are as before. SIMCLR_ERR_USAGE when all steps are done. */
SIMCLR_API enum simclr_status simclr_trainer_step(simclr_trainer *trainer, double *loss, struct simclr_error *err);

SIMCLR_API uint64_t simclr_trainer_steps_done(const simclr_trainer *trainer);      /* those before a checkpoint included */
SIMCLR_API uint64_t simclr_trainer_steps(const simclr_trainer *trainer);           /* in all, over which the learning rate goes to 0 */
SIMCLR_API uint64_t simclr_trainer_steps_per_epoch(const simclr_trainer *trainer);

/* A copy of its present network, for embed.h and simclr_model_save. batch: as in simclr_model_load. */
SIMCLR_API enum simclr_status simclr_trainer_model(const simclr_trainer *trainer, simclr_model **model, int32_t batch,
                                                   struct simclr_error *err);

/* ---- A whole run ---- */

/* How far a run is; valid while the callback runs. */
typedef struct simclr_progress simclr_progress;

/* "data", "begin", "train" after a step, "knn", "checkpoint". */
SIMCLR_API const char *simclr_progress_phase(const simclr_progress *progress);
SIMCLR_API uint64_t simclr_progress_step(const simclr_progress *progress);   /* done */
SIMCLR_API uint64_t simclr_progress_steps(const simclr_progress *progress);  /* of the whole run */
SIMCLR_API int32_t simclr_progress_epoch(const simclr_progress *progress);   /* from 1 */
SIMCLR_API bool simclr_progress_epoch_done(const simclr_progress *progress); /* the step was its last */
SIMCLR_API double simclr_progress_loss(const simclr_progress *progress);     /* mean over the epoch so far; NaN: none yet */
SIMCLR_API double simclr_progress_knn(const simclr_progress *progress);      /* accuracy of the last evaluation, 0 to 1; < 0: none */
SIMCLR_API double simclr_progress_images_per_second(const simclr_progress *progress);
SIMCLR_API double simclr_progress_seconds_left(const simclr_progress *progress);

/* Called from the thread that called simclr_run. true after a step stops the run, after a checkpoint (SIMCLR_ERR_CANCELLED). */
typedef bool simclr_progress_fn(void *ctx, const simclr_progress *progress);

/* Trains data=PATH in a folder, which is made if it is not there: config.json, metrics, checkpoints, just as `simclr train` leaves them;
 * settings without data train on the generated set. resume: go on from the newest whole checkpoint, or begin if there is none; without it a
 * folder that holds a run is refused. Warnings go to the engine's log. progress may be NULL. Blocks until the run is done, fails, or is
 * stopped: by progress, or by the engine's stop callback. */
SIMCLR_API enum simclr_status simclr_run(const simclr_engine *engine, const char *folder, bool resume, const char *const *settings,
                                         simclr_progress_fn *progress, void *ctx, struct simclr_error *err);

#ifdef __cplusplus
}
#endif
#endif
