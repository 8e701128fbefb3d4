/* RUN/broken.txt: the images that could not be read and were skipped, a line each: "path: reason". */
#ifndef TRAIN_BROKEN_H
#define TRAIN_BROKEN_H

#include "simclr/status.h"
#include "train/run_data.h"

/* Adds what data's loaders have met to the lines that are there (of the same run before it was resumed), sorted, each once; *count
 * receives how many there are. Nothing is written when nothing is new. */
enum simclr_status broken_list(const char *run, const struct run_data *data, size_t *count, struct simclr_error *err);

/* The same for any file. */
enum simclr_status broken_list_at(const char *path, const struct run_data *data, size_t *count, struct simclr_error *err);

/* Forgets those of an earlier run. */
void broken_clear(const char *run);

#endif
