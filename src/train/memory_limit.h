/* --memory: the micro-batch with which a run stays within so many bytes. */
#ifndef TRAIN_MEMORY_LIMIT_H
#define TRAIN_MEMORY_LIMIT_H

#include "train/run_data.h"

/* With config->memory, on the data that run_data_open has resolved config for, and before anything else is allocated: sets micro_batch
 * to the largest that fits, evened out over its batch, unless `settled` (the run has begun) or there is one: then only checks it.
 * *for_cache: what is left for decoded images; SIZE_MAX: no limit. SIMCLR_ERR_USAGE: it cannot fit. */
enum simclr_status memory_limit_apply(struct train_config *config, bool settled, size_t *for_cache, const struct run_data *data,
                                      const struct engine *engine, struct simclr_error *err);

#endif
