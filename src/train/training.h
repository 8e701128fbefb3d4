/* Training in its parts, for those who make, run or measure them by themselves: the loop (trainer.c), its setup (trainer_setup.c), what a run
 * will take (bill.c, forecast.c), and the library, whose callers bring their own data and loop. */
#ifndef TRAIN_TRAINING_H
#define TRAIN_TRAINING_H

#include "base/arena.h"
#include "train/checkpoint.h"
#include "train/run_data.h"
#include "train/run_folder.h"
#include "train/step.h"
#include "train/trainer.h"

struct trainer {
    struct train_config config; /* resolved */
    const struct engine *engine;
    const char *run;            /* NULL: in no folder */
    struct run_folder folder;
    char *settings;             /* what a resumed run must share */
    struct run_data data;
    struct network *network;
    struct network_size sizes;
    const struct tensor_info *tensors;
    size_t tensor_count;
    float *optim[2];            /* (sizes.params) each */
    struct step_memory step;
    struct arena memory;

    uint64_t steps_per_epoch, steps;
    double base_lr;
    struct checkpoint_state state;
    uint64_t first_step;        /* of this process */
    bool begun;                 /* config.json is written */
    double started, last_checkpoint;
    double step_seconds, data_seconds; /* of this process's steps of the epoch; data's are added up over threads */
    uint64_t timed_images;             /* of those steps */
    double knn, effective_rank;
    double image_flop;          /* network_image_flop */
    double fma_peak;            /* FLOP/s; 0: not measured */
    size_t broken;              /* images listed as broken */
    bool collapse_told;

    train_report_fn *report;
    void *report_ctx;
};

/* Data, network and memory of the resolved configuration. trainer_tear_down follows, after an error too. */
enum simclr_status trainer_set_up(struct trainer *t, struct simclr_error *err);
void trainer_tear_down(struct trainer *t);

/* Of it, the network and the memory alone, for data that is open. */
enum simclr_status trainer_allocate(struct trainer *t, struct simclr_error *err);
void trainer_release(struct trainer *t);

/* Steps of an epoch and of the run, from the open data; refuses a batch that it cannot fill. */
enum simclr_status trainer_plan_steps(struct trainer *t, struct simclr_error *err);

/* All that follows once the data are open, and steps planned: network, memory, a cache of at most for_cache bytes. */
enum simclr_status trainer_prepare(struct trainer *t, size_t for_cache, struct simclr_error *err);

/* One step; *loss, unless NULL, is its batch's, or NaN if it was skipped. After the last step of an epoch, trainer_begin_epoch. */
enum simclr_status trainer_step(struct trainer *t, double *loss, struct simclr_error *err);
bool trainer_epoch_ended(const struct trainer *t);
void trainer_begin_epoch(struct trainer *t);

/* The trainer's own memory beside its network's, from an arena that may be measuring: optim and step. Wants config, engine and
 * sizes. micro_batch: images that go through the network at once. */
void trainer_lay_out(struct trainer *t, int micro_batch);

/* What a checkpoint of the run holds. */
struct checkpoint_target trainer_checkpoint(struct trainer *t);

/* config.json: whether it is there, and writing it, which says that the run has begun: its first step worked. */
bool trainer_has_config(const struct trainer *t);
enum simclr_status trainer_note_begun(struct trainer *t, struct simclr_error *err);

/* Restores the newest whole checkpoint, if the run is this one; found: whether there is any. */
enum simclr_status trainer_restore(struct trainer *t, bool *found, struct simclr_error *err);

/* The weights that a new run begins with, where a file has them; text: a sentence about them, or "". */
enum simclr_status trainer_init(struct trainer *t, char *text, size_t size, struct simclr_error *err);

/* A checkpoint_tell_fn; ctx is a struct trainer. */
void trainer_tell_user(void *ctx, bool warning, const char *text);

#endif
