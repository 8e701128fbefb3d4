/* Images that could not be read: noted by any thread, told in the order of the set. */
#ifndef DATA_BROKEN_IMAGES_H
#define DATA_BROKEN_IMAGES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct broken_image;

/* {0} is empty. */
struct broken_images {
    _Atomic(struct broken_image *) last;
    const char **messages; /* what broken_images_list handed out */
};

/* An image not yet in the list, freed with free() if it shall not be; message is copied. NULL: no memory. */
struct broken_image *broken_image_new(uint32_t index, const char *message);
/* The list takes it; from any thread. */
void broken_images_add(struct broken_images *images, struct broken_image *image);

/* The reason of one of them, or "". */
const char *broken_images_any(const struct broken_images *images);

/* How many there are; *messages (as many), by index, until the next call. NULL: no memory. Not while others add. */
size_t broken_images_list(struct broken_images *images, const char *const **messages);

void broken_images_free(struct broken_images *images);

#endif
