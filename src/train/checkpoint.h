/* A run's whole state in one safetensors file: RUN/checkpoint-%08d.safetensors, numbered by steps done.
 *
 * Tensors: the encoder under torchvision's names and layouts and "head.*" (what load_state_dict takes), then
 * "optimizer.<array>.<parameter>" in the same layouts, then "trainer.state". Metadata: a checksum of the file, the format's version,
 * the settings that decide the result, the data set's fingerprint and, with --init, that of the weights; nothing of the machine, so
 * equal runs have equal files. */
#ifndef TRAIN_CHECKPOINT_H
#define TRAIN_CHECKPOINT_H

#include "nn/network.h"
#include "simclr/status.h"
#include "train/optim.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where a run stands; sums run over the steps of the current epoch so far that were not skipped. */
struct checkpoint_state {
    uint64_t step;
    uint64_t epoch_steps;  /* of the current epoch, skipped ones too; all of them: its evaluation and line of metrics are to come */
    uint64_t epoch_images; /* of those steps that were not skipped */
    uint64_t skipped, skipped_in_a_row;             /* of the steps, since their numbers were not finite */
    double loss, retrieval1, retrieval5, alignment, uniformity; /* sums */
    double knn_untrained;                           /* < 0: none */
    uint64_t init; /* fingerprint of the file's weights that the run began with (train/init.h); 0: with random ones */
};

/* What is saved and restored: network's tensors and the optimiser's arrays (laid out like the parameters). */
struct checkpoint_target {
    struct network *network;
    int optim_arrays;
    const char *optim_names[2];
    float *optim[2];
    const char *settings; /* text that must be equal for a resume */
    uint64_t fingerprint; /* of the data set */
    const char *advice;   /* for a resume on another data set */
};

/* Of a run with this optimiser, whose state is in optim; without advice. */
struct checkpoint_target checkpoint_of(struct network *network, enum optimizer kind, float *const optim[2], const char *settings,
                                       uint64_t fingerprint);

/* Writes the checkpoint of state->step into run and, once it would outlive a power cut and if keep > 0, removes all but the newest
 * `keep`. */
enum simclr_status checkpoint_write(const char *run, int keep, const struct checkpoint_target *target,
                                    const struct checkpoint_state *state, struct simclr_error *err);

/* Path of the newest checkpoint in run, whole or not; "" when there is none. */
void checkpoint_newest(char *path, size_t size, const char *run);

/* Restores target and state from the newest checkpoint in run, or fails. Changes no file. */
enum simclr_status checkpoint_load_newest(const char *run, const struct checkpoint_target *target, struct checkpoint_state *state,
                                          struct simclr_error *err);

/* A sentence for the user. */
typedef void checkpoint_tell_fn(void *ctx, bool warning, const char *text);

/* Restores target and state from the newest whole checkpoint in run, and tells which; found: whether there is any. Each damaged one
 * that is newer is named by a warning and, once a whole one was found, renamed to NAME.damaged; where none is whole, that is an error.
 * Then all but the newest `keep` go, as in checkpoint_write. Another format version, data set or setting is refused by name. */
enum simclr_status checkpoint_resume(const char *run, int keep, const struct checkpoint_target *target, struct checkpoint_state *state,
                                     bool *found, checkpoint_tell_fn *tell, void *ctx, struct simclr_error *err);

/* Opens the newest whole checkpoint in run, whose path it gives, for those who only use it (checkpoint_file.h); each damaged one that
 * is newer is named by a warning. Changes no file. */
struct safetensors;
enum simclr_status checkpoint_open_newest(struct safetensors **file, char *path, size_t size, const char *run, checkpoint_tell_fn *tell,
                                          void *ctx, struct simclr_error *err);

#endif
