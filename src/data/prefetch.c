#include "data/prefetch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct prefetcher {
    const struct dataset *dataset;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t *posted;   /* (most), the list not yet begun; guarded by lock, as is posted_count */
    size_t posted_count;
    uint32_t *taken;    /* (most), the thread's own */
    size_t most;
    atomic_bool stopping;
};

static size_t take(struct prefetcher *p)
{
    pthread_mutex_lock(&p->lock);
    while (p->posted_count == 0 && !atomic_load(&p->stopping))
        pthread_cond_wait(&p->changed, &p->lock);
    size_t count = p->posted_count;
    memcpy(p->taken, p->posted, count * sizeof *p->taken);
    p->posted_count = 0;
    pthread_mutex_unlock(&p->lock);
    return count;
}

static void *read_ahead(void *ctx)
{
    struct prefetcher *p = ctx;
    while (!atomic_load(&p->stopping)) {
        size_t count = take(p);
        for (size_t i = 0; i < count && !atomic_load(&p->stopping); i++)
            dataset_prefetch(p->dataset, p->taken[i]);
    }
    return NULL;
}

static void discard(struct prefetcher *p)
{
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->changed);
    free(p->posted);
    free(p->taken);
    free(p);
}

struct prefetcher *prefetch_start(const struct dataset *dataset, size_t most)
{
    struct prefetcher *p = dataset_can_prefetch(dataset) ? calloc(1, sizeof *p) : NULL;
    if (!p)
        return NULL;
    p->dataset = dataset;
    p->most = most;
    p->posted = malloc(most * sizeof *p->posted);
    p->taken = malloc(most * sizeof *p->taken);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    if (p->posted && p->taken && pthread_create(&p->thread, NULL, read_ahead, p) == 0)
        return p;
    discard(p);
    return NULL;
}

void prefetch_images(struct prefetcher *p, const uint32_t *images, size_t count)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->posted_count = count < p->most ? count : p->most;
    memcpy(p->posted, images, p->posted_count * sizeof *images);
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

void prefetch_stop(struct prefetcher *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->stopping, true);
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    discard(p);
}
