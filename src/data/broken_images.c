#include "data/broken_images.h"

#include <stdlib.h>
#include <string.h>

struct broken_image {
    struct broken_image *next;
    uint32_t index; /* in the data set */
    char message[]; /* "path: reason" */
};

struct broken_image *broken_image_new(uint32_t index, const char *message)
{
    size_t size = strlen(message) + 1;
    struct broken_image *image = malloc(sizeof *image + size);
    if (!image)
        return NULL;
    image->index = index;
    memcpy(image->message, message, size);
    return image;
}

void broken_images_add(struct broken_images *images, struct broken_image *image)
{
    image->next = atomic_load(&images->last);
    while (!atomic_compare_exchange_weak(&images->last, &image->next, image))
        ;
}

const char *broken_images_any(const struct broken_images *images)
{
    const struct broken_image *last = atomic_load(&images->last);
    return last ? last->message : "";
}

static int by_index(const void *a, const void *b)
{
    uint32_t x = (*(struct broken_image *const *)a)->index, y = (*(struct broken_image *const *)b)->index;
    return (x > y) - (x < y);
}

size_t broken_images_list(struct broken_images *images, const char *const **messages)
{
    size_t count = 0;
    for (struct broken_image *b = atomic_load(&images->last); b; b = b->next)
        count++;
    struct broken_image **sorted = malloc((count + 1) * sizeof *sorted);
    const char **texts = malloc((count + 1) * sizeof *texts);
    size_t n = 0;
    for (struct broken_image *b = atomic_load(&images->last); b && sorted; b = b->next)
        sorted[n++] = b;
    if (sorted)
        qsort(sorted, n, sizeof *sorted, by_index);
    for (size_t i = 0; i < n && texts; i++)
        texts[i] = sorted[i]->message;
    bool ok = sorted && texts;
    free(sorted);
    free(images->messages);
    images->messages = ok ? texts : NULL;
    if (!ok)
        free(texts);
    *messages = images->messages;
    return count;
}

void broken_images_free(struct broken_images *images)
{
    for (struct broken_image *b = atomic_load(&images->last), *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(images->messages);
}
