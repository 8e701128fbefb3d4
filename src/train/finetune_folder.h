/* The folder that a fine-tuning leaves (train/finetune.h): FOLDER.tmp until it is whole. */
#ifndef TRAIN_FINETUNE_FOLDER_H
#define TRAIN_FINETUNE_FOLDER_H

#include "train/finetune.h"

struct finetune_folder {
    char path[4096], temporary[4096 + 8];
    bool made; /* temporary is there, and ours */
};

/* Refused where there is something at either path. Ended by finetune_folder_commit or _abandon, after an error too. */
enum simclr_status finetune_folder_begin(struct finetune_folder *folder, const char *path, struct simclr_error *err);

/* Adds a line to metrics.jsonl: the last epoch of result, and its test if that was made. */
enum simclr_status finetune_folder_epoch(const struct finetune_folder *folder, const struct finetune_result *result, double seconds,
                                         struct simclr_error *err);

/* Writes all other files and gives the folder its name; result->broken becomes known. */
enum simclr_status finetune_folder_commit(struct finetune_folder *folder, const struct finetune *f, struct finetune_result *result,
                                          struct simclr_error *err);

/* Removes what was written. */
void finetune_folder_abandon(const struct finetune_folder *folder);

#endif
