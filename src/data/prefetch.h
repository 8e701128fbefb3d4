/* Reading ahead: one thread asks the system for the files of coming images while the network computes. It only warms the system's
 * cache of files, so nothing depends on it: a file that vanishes, is broken or slow is met by whoever decodes it, as without it. */
#ifndef DATA_PREFETCH_H
#define DATA_PREFETCH_H

#include "data/dataset.h"

struct prefetcher;

/* For lists of at most `most` images of dataset, which must outlive it. NULL: there is nothing to read ahead in this set, or no
 * memory or thread to do so; the functions below then do nothing. */
struct prefetcher *prefetch_start(const struct dataset *dataset, size_t most);

/* Images (copied) are asked for soon, in this order; returns at once. An earlier list that was not yet begun is dropped. */
void prefetch_images(struct prefetcher *prefetcher, const uint32_t *images, size_t count);

/* Waits for the file being opened, no more. */
void prefetch_stop(struct prefetcher *prefetcher);

#endif
