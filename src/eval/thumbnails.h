/* Small pictures of a set's images for pages, the middle square that an encoder sees too. */
#ifndef EVAL_THUMBNAILS_H
#define EVAL_THUMBNAILS_H

#include "base/engine.h"
#include "data/dataset.h"
#include "io/buffer.h"

/* One JPEG file of side x side pixels an item: jpegs (count), which the caller initialises to {0} and frees; empty for an image that
 * cannot be read. The bytes depend on no ISA or thread count. SIMCLR_ERR_CANCELLED when the engine is to stop. */
enum simclr_status thumbnails_make(struct buffer *jpegs, const struct dataset *set, const uint32_t *items, size_t count, int side,
                                   const struct engine *engine, struct simclr_error *err);

#endif
