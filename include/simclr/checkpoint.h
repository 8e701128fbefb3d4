/* A trainer's whole state in a file: weights under torchvision's names, optimiser, schedule, place in the data. */
#ifndef SIMCLR_CHECKPOINT_H
#define SIMCLR_CHECKPOINT_H

#include "simclr/train.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Writes checkpoint-%08d.safetensors, numbered by steps done, into a folder that is there, and syncs it; once it would outlive a power cut, all
 * but the newest `keep` (a setting; 3 by default) go. simclr_model_load and the program's commands take the folder or the file. A folder
 * belongs to one trainer at a time; of a run's own the program holds a lock, which this does not ask for. */
SIMCLR_API enum simclr_status simclr_trainer_save(simclr_trainer *trainer, const char *folder, struct simclr_error *err);

/* Goes on from the newest whole checkpoint in folder: the coming steps are those of a trainer that was never stopped, to the bit, on any ISA
 * and number of threads. Damaged ones that are newer are logged, and renamed to NAME.damaged. No checkpoint at all is SIMCLR_ERR_IO, one of
 * another set or of settings that decide other weights SIMCLR_ERR_USAGE or SIMCLR_ERR_FORMAT. After an error the trainer is only to be
 * freed or restored. */
SIMCLR_API enum simclr_status simclr_trainer_restore(simclr_trainer *trainer, const char *folder, struct simclr_error *err);

#ifdef __cplusplus
}
#endif
#endif
