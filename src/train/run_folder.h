/* The folder of a run while the run writes into it: no other process does, and what a killed one left half written is gone. */
#ifndef TRAIN_RUN_FOLDER_H
#define TRAIN_RUN_FOLDER_H

#include "simclr/status.h"

#include <stdbool.h>
#include <sys/types.h>

struct run_folder {
    const char *path;
    int lock;      /* descriptor of path/.lock; < 0: not open, or this file system has no locks */
    dev_t device;  /* which folder it is, should another take its path */
    ino_t inode;
};

/* Makes the folder if it is not there, and locks it: the lock dies with the process. Refused: a folder that another process holds
 * (named by its pid), cannot be written in, holds a run that is not to be resumed, or files of a run's names without
 * one. Removes NAME.tmp files of a killed run. */
enum simclr_status run_folder_open(struct run_folder *folder, const char *path, bool resume, struct simclr_error *err);

/* An error when the folder was removed or replaced since. */
enum simclr_status run_folder_check(const struct run_folder *folder, struct simclr_error *err);

/* Also after a failed or no open, if lock is < 0. */
void run_folder_close(struct run_folder *folder);

#endif
