/* Batches for the trainer: order of an epoch, decoding, augmentation of both views. */
#ifndef DATA_LOADER_H
#define DATA_LOADER_H

#include "base/engine.h"
#include "data/augment.h"
#include "data/dataset.h"

struct loader;

struct loader_config {
    int image_size, channels;
    struct augment_config augment;
    bool one_view; /* loader_batch gives view 0 alone */
    uint64_t seed;
};

/* dataset stays the caller's and must outlive the loader. Which images: `items` of `count` indices (copied); NULL: the first count. */
enum simclr_status loader_create(struct loader **loader, const struct dataset *dataset, const uint32_t *items, size_t count,
                                 const struct loader_config *config, const struct engine *engine, struct simclr_error *err);
void loader_free(struct loader *loader);

/* A set, and the loader of all of it, in its order. */
struct image_part {
    struct dataset *set;
    struct loader *loader;
};

/* Before the first batch: decoded images are kept in memory while they fit in `bytes` (0: none are), unless the set is raw
 * (dataset_is_raw). all: one that does not fit is SIMCLR_ERR_MEMORY. Changes no result. */
void loader_cache(struct loader *loader, size_t bytes, bool all);

/* Both views of the batch images at positions [first, first + batch) of epoch's order: out (2 batch, S, S, C), view 0 of all, then
 * view 1 of all; or only the former. Image i, view v, epoch e draws from the stream (seed, RNG_AUGMENT, e, 2 i + v): no batch or thread matters.
 * A broken image is replaced by the next readable one in the epoch's order, drawn with the broken one's stream (so that the two
 * copies in a batch differ), and recorded once. The order itself is a permutation drawn from (seed, RNG_SHUFFLE, e, 0). */
enum simclr_status loader_batch(struct loader *loader, float *out, uint32_t epoch, size_t first, int batch,
                                struct simclr_error *err);

/* The name of the image that served at position `place` of the order of the last loader_batch: a path in the set, or "#17". */
const char *loader_name(const struct loader *loader, size_t place, char *text, size_t size);
int loader_label(const struct loader *loader, size_t place); /* LABEL_NONE: it has none */

/* The index in the data set of item i. */
uint32_t loader_item(const struct loader *loader, size_t i);

/* Clean images at items [first, first + count): out (count, S, S, C); labels if not NULL. Broken ones are zeros. SIMCLR_ERR_CANCELLED
 * when the engine is to stop. */
enum { LABEL_NONE = -1, LABEL_BROKEN = -2 };
enum simclr_status loader_clean(struct loader *loader, float *out, int *labels, size_t first, int count, struct simclr_error *err);

/* Seconds that threads have spent in loader_batch reading, decoding and augmenting, added up over all of them. */
double loader_busy(const struct loader *loader);

const struct engine *loader_engine(const struct loader *loader);
size_t loader_size(const struct loader *loader);
size_t loader_image_floats(const struct loader *loader); /* S S C */

/* Bytes that loader_cache will keep, with what lists them, if its images have image_bytes each. */
size_t loader_cached(const struct loader *loader, size_t image_bytes, size_t bytes);

/* Bytes that it takes beside its list and its cache while it works on batches of images of h x w. */
size_t loader_scratch(const struct loader *loader, int h, int w, int batch);

/* Broken images met so far, in order of their index: "path: reason" each. Valid until the next call of this function; NULL although there
 * are some: no memory. */
size_t loader_broken(struct loader *loader, const char *const **messages);

#endif
