/* One checkpoint as a file (its contents: checkpoint.h); which files a run has is checkpoint.c's. */
#ifndef TRAIN_CHECKPOINT_FILE_H
#define TRAIN_CHECKPOINT_FILE_H

#include "io/safetensors.h"
#include "train/checkpoint.h"
#include "train/trainer.h"

enum simclr_status checkpoint_file_write(const char *path, const struct checkpoint_target *target, const struct checkpoint_state *state,
                                         struct simclr_error *err);

/* Restores target and state, which must be of step `step`. */
enum simclr_status checkpoint_file_load(const char *path, long long step, const struct checkpoint_target *target,
                                        struct checkpoint_state *state, struct simclr_error *err);

/* The same in parts, for those who want only the network. The file is whole and of this format version; safetensors_close. */
enum simclr_status checkpoint_file_open(struct safetensors **file, const char *path, struct simclr_error *err);
/* The settings that decided the weights; others are defaults. */
enum simclr_status checkpoint_file_settings(const char *path, const struct safetensors *file, struct train_config *config,
                                            struct simclr_error *err);
/* Its weights and running statistics into a network of these settings. */
enum simclr_status checkpoint_file_network(const char *path, struct safetensors *file, struct network *network,
                                           struct simclr_error *err);

#endif
