#include "data/loader.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/par.h"
#include "base/rng.h"
#include "base/status.h"
#include "data/broken_images.h"
#include "data/prefetch.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* What is known of an item. FILLING: one thread is storing its pixels; others decode for themselves. */
enum item_state { ITEM_UNKNOWN, ITEM_BROKEN, ITEM_FILLING, ITEM_CACHED };

struct worker {
    void *scratch;
    size_t size;
    double busy; /* seconds in batch_slot */
};

struct loader {
    const struct dataset *dataset;
    struct loader_config config;
    const struct engine *engine;
    uint32_t *items;             /* (count), indices into the data set */
    uint32_t *order;             /* (count), positions in items: the permutation of order_epoch */
    size_t count;
    uint32_t order_epoch;
    bool order_known;
    _Atomic unsigned char *state; /* (count), enum item_state */
    struct image *cache;         /* (count) or NULL */
    size_t cache_bytes;
    atomic_size_t cache_left;    /* of them */
    bool cache_all;              /* what does not fit is an error */
    struct worker *workers;      /* (threads) */
    struct prefetcher *prefetcher;
    uint32_t *ahead;             /* (ahead_room): the list for the prefetcher */
    size_t ahead_room, ahead_to; /* ahead_to: place in the order before which all has been asked for */
    struct broken_images broken;
};

enum simclr_status loader_create(struct loader **result, const struct dataset *dataset, const uint32_t *items, size_t count,
                                 const struct loader_config *config, const struct engine *engine, struct simclr_error *err)
{
    *result = NULL;
    if (count == 0 || count > UINT32_MAX)
        return fail(err, SIMCLR_ERR_USAGE, "%zu images cannot be loaded; a set has 1 to %u", count, UINT32_MAX);
    for (size_t i = 0; i < count; i++)
        if ((items ? items[i] : i) >= dataset_size(dataset))
            return fail(err, SIMCLR_ERR_USAGE, "there is no image %zu in a set of %zu", items ? items[i] : i, dataset_size(dataset));
    struct loader *l = calloc(1, sizeof *l);
    if (l) {
        l->engine = engine; /* loader_free goes by its threads */
        l->items = malloc(count * sizeof *l->items);
        l->order = malloc(count * sizeof *l->order);
        l->state = calloc(count, sizeof *l->state);
        l->workers = calloc((size_t)engine->threads, sizeof *l->workers);
    }
    if (!l || !l->items || !l->order || !l->state || !l->workers) {
        loader_free(l);
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to load %zu images; use --limit", count);
    }
    for (size_t i = 0; i < count; i++)
        l->items[i] = items ? items[i] : (uint32_t)i;
    l->dataset = dataset;
    l->config = *config;
    l->count = count;
    *result = l;
    return SIMCLR_OK;
}

void loader_cache(struct loader *l, size_t bytes, bool all)
{
    if (bytes == 0 || dataset_is_raw(l->dataset) || l->cache)
        return;
    l->cache = calloc(l->count, sizeof *l->cache);
    l->cache_bytes = bytes;
    l->cache_all = all;
    atomic_init(&l->cache_left, bytes);
}

size_t loader_cached(const struct loader *l, size_t image_bytes, size_t bytes)
{
    enum { BLOCK = 16 }; /* of malloc's own */
    if (bytes == 0 || dataset_is_raw(l->dataset))
        return 0;
    size_t images = image_bytes > 0 && bytes / image_bytes < l->count ? bytes / image_bytes : l->count;
    return l->count * sizeof *l->cache + images * (image_bytes + BLOCK);
}

/* Pixels of the cache that came from the engine's allocator are not the image's own. */
static void forget(const struct loader *l, struct image *image)
{
    if (l->engine->allocator)
        allocator_free(l->engine->allocator, image->pixels);
    else
        image_release(image);
}

void loader_free(struct loader *l)
{
    if (!l)
        return;
    prefetch_stop(l->prefetcher);
    for (size_t i = 0; l->cache && i < l->count; i++)
        forget(l, &l->cache[i]);
    for (int i = 0; l->workers && i < l->engine->threads; i++)
        allocator_free(l->engine->allocator, l->workers[i].scratch);
    broken_images_free(&l->broken);
    free(l->items);
    free(l->order);
    free((void *)l->state);
    free(l->cache);
    free(l->workers);
    free(l->ahead);
    free(l);
}

static bool claim(_Atomic unsigned char *state, enum item_state from, enum item_state to)
{
    unsigned char expected = (unsigned char)from;
    return atomic_compare_exchange_strong(state, &expected, (unsigned char)to);
}

/* Records a broken item; the thread that changes its state is the only one to do so. */
static enum simclr_status record_broken(struct loader *l, size_t position, const char *message, struct simclr_error *err)
{
    struct broken_image *image = broken_image_new(l->items[position], message);
    if (!image)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to note a broken image (%s)", message);
    if (claim(&l->state[position], ITEM_UNKNOWN, ITEM_BROKEN))
        broken_images_add(&l->broken, image);
    else
        free(image);
    return SIMCLR_OK;
}

static size_t image_bytes(const struct image *image)
{
    return (size_t)image->h * (size_t)image->w * (size_t)image->c;
}

/* Takes bytes from what is left of the cache's budget. */
static bool reserve(struct loader *l, size_t bytes)
{
    size_t left = atomic_load(&l->cache_left);
    do {
        if (bytes > left)
            return false;
    } while (!atomic_compare_exchange_weak(&l->cache_left, &left, left - bytes));
    return true;
}

static enum simclr_status no_room(const struct loader *l, struct simclr_error *err)
{
    if (!l->cache_all)
        return SIMCLR_OK;
    return fail(err, SIMCLR_ERR_MEMORY, "the decoded images do not all fit into the memory that is free (%zu MB); use --cache auto or none",
                l->cache_bytes >> 20);
}

/* From the decoder's memory into the engine's. */
static bool move_pixels(const struct allocator *allocator, struct image *image)
{
    struct image moved = *image;
    moved.pixels = allocator_alloc(allocator, image_bytes(image), 1);
    if (!moved.pixels)
        return false;
    memcpy(moved.pixels, image->pixels, image_bytes(image));
    image_release(image);
    moved.owned = 0;
    *image = moved;
    return true;
}

/* Keeps image in the cache if there is room; it then belongs to the cache and *image borrows it. */
static enum simclr_status keep(struct loader *l, size_t position, struct image *image, struct simclr_error *err)
{
    size_t bytes = image_bytes(image);
    if (!l->cache)
        return SIMCLR_OK;
    if (atomic_load(&l->cache_left) < bytes)
        return no_room(l, err);
    if (!claim(&l->state[position], ITEM_UNKNOWN, ITEM_FILLING))
        return SIMCLR_OK;
    if (!reserve(l, bytes)) {
        atomic_store(&l->state[position], ITEM_UNKNOWN);
        return no_room(l, err);
    }
    if (l->engine->allocator && !move_pixels(l->engine->allocator, image)) {
        atomic_store(&l->state[position], ITEM_UNKNOWN);
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to keep %d x %d pixels; use --cache none", image->w, image->h);
    }
    l->cache[position] = *image;
    image->owned = 0;
    atomic_store(&l->state[position], ITEM_CACHED);
    return SIMCLR_OK;
}

/* The item at a position of items. *readable false with SIMCLR_OK: it is broken, and recorded. */
static enum simclr_status fetch(struct loader *l, size_t position, struct image *image, bool *readable, struct simclr_error *err)
{
    struct simclr_error reason;
    unsigned char state = atomic_load(&l->state[position]);
    *readable = state != ITEM_BROKEN;
    if (state == ITEM_CACHED) {
        *image = l->cache[position];
        image->owned = 0;
    }
    if (state == ITEM_CACHED || state == ITEM_BROKEN)
        return SIMCLR_OK;
    enum simclr_status status = dataset_read(l->dataset, l->items[position], image, &reason);
    if (status == SIMCLR_OK) {
        status = keep(l, position, image, err);
        if (status != SIMCLR_OK)
            image_release(image);
        return status;
    }
    if (status == SIMCLR_ERR_MEMORY) /* of this machine, not of the file: skipping it would make results depend on free memory */
        return fail(err, status, "%s", reason.text);
    *readable = false;
    return record_broken(l, position, reason.text, err);
}

/* Scratch of one thread, grown to the largest source it has met. NULL: no memory. */
static void *thread_scratch(struct loader *l, int thread, const struct image *image)
{
    struct worker *worker = &l->workers[thread];
    size_t need = augment_scratch(image->h, image->w, image->c, l->config.image_size);
    if (need > worker->size || !worker->scratch) {
        allocator_free(l->engine->allocator, worker->scratch);
        worker->scratch = allocator_alloc(l->engine->allocator, need ? need : 1, 1);
        worker->size = worker->scratch ? need : 0;
    }
    return worker->scratch;
}

/* Has the files of this batch, but for what was asked for before, and of the next one read ahead. order is NULL where items are
 * taken as they come. One batch ahead suffices, since requests overlap: on a disk that takes 8 ms a file a step lasts 405 ms without
 * this and 250 with it (220 from memory). Decoding ahead as well would not pay: the threads stand still for 1 % of a step. */
static void read_ahead(struct loader *l, const uint32_t *order, size_t first, size_t batch)
{
    size_t end = l->count - first > 2 * batch ? first + 2 * batch : l->count, n = 0;
    size_t place = l->ahead_to > first && l->ahead_to <= end ? l->ahead_to : first;
    if (!l->ahead && batch > 0) {
        l->ahead_room = 2 * batch;
        l->ahead = malloc(l->ahead_room * sizeof *l->ahead);
        l->prefetcher = l->ahead ? prefetch_start(l->dataset, l->ahead_room) : NULL;
    }
    if (!l->ahead || !l->prefetcher)
        return;
    for (; place < end && n < l->ahead_room; place++) {
        size_t position = order ? order[place] : place;
        if (atomic_load(&l->state[position]) == ITEM_UNKNOWN)
            l->ahead[n++] = l->items[position];
    }
    if (n > 0)
        prefetch_images(l->prefetcher, l->ahead, n);
    l->ahead_to = place;
}

/* One call's work, shared by its chunks; status and error are written by the chunk that fails first. */
struct job {
    struct loader *loader;
    float *out;
    int *labels;
    uint32_t epoch;
    size_t first;
    int batch;
    atomic_int failed;
    enum simclr_status status;
    struct simclr_error error;
};

static void job_fail(struct job *job, enum simclr_status status, const struct simclr_error *error)
{
    int expected = 0;
    if (atomic_compare_exchange_strong(&job->failed, &expected, 1)) {
        job->status = status;
        job->error = *error;
    }
}

static enum simclr_status job_end(struct job *job, struct simclr_error *err)
{
    return job->failed ? fail(err, job->status, "%s", job->error.text) : SIMCLR_OK;
}

/* The readable image at place, or at the next place of the epoch's order that has one: which depends on files alone. */
static enum simclr_status fetch_next(struct loader *l, size_t place, struct image *image, struct simclr_error *err)
{
    bool readable = false;
    for (size_t tried = 0; tried < l->count; tried++) {
        size_t at = place + tried < l->count ? place + tried : place + tried - l->count;
        enum simclr_status status = fetch(l, l->order[at], image, &readable, err);
        if (status != SIMCLR_OK || readable)
            return status;
    }
    return fail(err, SIMCLR_ERR_FORMAT, "none of the %zu images can be read; %s", l->count, broken_images_any(&l->broken));
}

static void augment_both_views(struct job *job, size_t slot, const struct image *image, uint64_t stream, void *scratch)
{
    struct loader *l = job->loader;
    const struct loader_config *c = &l->config;
    for (uint64_t view = 0; view < (c->one_view ? 1 : 2); view++) {
        struct augment_params params;
        struct rng rng = rng_stream(c->seed, RNG_AUGMENT, job->epoch, 2 * stream + view);
        augment_draw(&params, &c->augment, image->h, image->w, &rng);
        float *out = job->out + ((size_t)view * (size_t)job->batch + slot) * loader_image_floats(l);
        augment_apply(l->engine->kernels, out, image, &params, &c->augment, c->image_size, scratch);
    }
}

static void make_views(struct job *job, size_t slot, int thread)
{
    struct loader *l = job->loader;
    struct image image;
    struct simclr_error error;
    size_t place = job->first + slot;
    enum simclr_status status = fetch_next(l, place, &image, &error);
    if (status != SIMCLR_OK) {
        job_fail(job, status, &error);
        return;
    }
    void *scratch = thread_scratch(l, thread, &image);
    if (scratch)
        augment_both_views(job, slot, &image, l->items[l->order[place]], scratch);
    else
        job_fail(job, fail(&error, SIMCLR_ERR_MEMORY, "not enough memory to augment %d x %d pixels", image.w, image.h), &error);
    image_release(&image);
}

static void batch_slot(void *ctx, size_t slot, int thread)
{
    struct job *job = ctx;
    if (atomic_load(&job->failed))
        return;
    double began = clock_seconds();
    make_views(job, slot, thread);
    job->loader->workers[thread].busy += clock_seconds() - began;
}

enum simclr_status loader_batch(struct loader *l, float *out, uint32_t epoch, size_t first, int batch, struct simclr_error *err)
{
    if (batch < 1 || first > l->count || (size_t)batch > l->count - first)
        return fail(err, SIMCLR_ERR_USAGE, "a batch of %d images from %zu on does not fit a set of %zu; use a smaller --batch-size", batch,
                    first, l->count);
    if (!l->order_known || l->order_epoch != epoch) {
        struct rng rng = rng_stream(l->config.seed, RNG_SHUFFLE, epoch, 0);
        rng_permutation(&rng, l->order, (uint32_t)l->count);
        l->order_epoch = epoch;
        l->order_known = true;
        l->ahead_to = 0;
    }
    read_ahead(l, l->order, first, (size_t)batch);
    struct job job = {.loader = l, .out = out, .epoch = epoch, .first = first, .batch = batch};
    par_for(l->engine->threads, (size_t)batch, batch_slot, &job);
    return job_end(&job, err);
}

/* The index in the data set of the image that served at a place. */
static uint32_t served(const struct loader *l, size_t place)
{
    size_t at = place;
    while (atomic_load(&l->state[l->order[at]]) == ITEM_BROKEN && (at + 1) % l->count != place)
        at = (at + 1) % l->count;
    return l->items[l->order[at]];
}

const char *loader_name(const struct loader *l, size_t place, char *text, size_t size)
{
    return dataset_item_name(l->dataset, served(l, place), text, size);
}

int loader_label(const struct loader *l, size_t place)
{
    return dataset_label(l->dataset, served(l, place));
}

uint32_t loader_item(const struct loader *l, size_t i)
{
    return l->items[i];
}

static void clean_slot(void *ctx, size_t slot, int thread)
{
    struct job *job = ctx;
    struct loader *l = job->loader;
    struct image image;
    struct simclr_error error;
    bool readable;
    if (atomic_load(&job->failed))
        return;
    if (engine_stopped(l->engine)) {
        job_fail(job, fail(&error, SIMCLR_ERR_CANCELLED, "stopped while images were read"), &error);
        return;
    }
    size_t position = job->first + slot, floats = loader_image_floats(l);
    enum simclr_status status = fetch(l, position, &image, &readable, &error);
    if (status != SIMCLR_OK) {
        job_fail(job, status, &error);
        return;
    }
    if (job->labels)
        job->labels[slot] = readable ? dataset_label(l->dataset, l->items[position]) : LABEL_BROKEN;
    if (!readable) {
        memset(job->out + slot * floats, 0, floats * sizeof *job->out);
        return;
    }
    void *scratch = thread_scratch(l, thread, &image);
    if (scratch)
        augment_clean(l->engine->kernels, job->out + slot * floats, &image, l->config.image_size, scratch);
    else
        job_fail(job, fail(&error, SIMCLR_ERR_MEMORY, "not enough memory to resize %d x %d pixels", image.w, image.h), &error);
    image_release(&image);
}

enum simclr_status loader_clean(struct loader *l, float *out, int *labels, size_t first, int count, struct simclr_error *err)
{
    if (count < 0 || first > l->count || (size_t)count > l->count - first)
        return fail(err, SIMCLR_ERR_USAGE, "%d images from %zu on are not in a set of %zu", count, first, l->count);
    if (first == 0)
        l->ahead_to = 0;
    read_ahead(l, NULL, first, (size_t)count);
    struct job job = {.loader = l, .out = out, .labels = labels, .first = first, .batch = count};
    par_for(l->engine->threads, (size_t)count, clean_slot, &job);
    return job_end(&job, err);
}

double loader_busy(const struct loader *l)
{
    double seconds = 0;
    for (int i = 0; i < l->engine->threads; i++)
        seconds += l->workers[i].busy;
    return seconds;
}

const struct engine *loader_engine(const struct loader *l)
{
    return l->engine;
}

size_t loader_size(const struct loader *l)
{
    return l->count;
}

size_t loader_image_floats(const struct loader *l)
{
    return (size_t)l->config.image_size * (size_t)l->config.image_size * (size_t)l->config.channels;
}

/* A thread that decodes holds the file, its planes and its pixels: 3 bytes of each at most, but for pictures that hardly shrink. */
size_t loader_scratch(const struct loader *l, int h, int w, int batch)
{
    enum { DECODING = 9, LISTS = 4 /* of indices, for two batches each: ahead, and the prefetcher's */ };
    size_t pixels = (size_t)h * (size_t)w, order = l->count * (sizeof *l->order + sizeof *l->state);
    size_t thread = augment_scratch(h, w, l->config.channels, l->config.image_size) + DECODING * pixels;
    return order + (size_t)l->engine->threads * thread + LISTS * 2 * (size_t)batch * sizeof *l->ahead;
}

size_t loader_broken(struct loader *l, const char *const **messages)
{
    return broken_images_list(&l->broken, messages);
}
