/* TensorBoard's event files of scalars. Made through protobuf-c, which a build may lack. */
#ifndef IO_TFEVENTS_H
#define IO_TFEVENTS_H

#include "io/buffer.h"

#include <stdbool.h>
#include <stdint.h>

enum { TFEVENTS_SCALARS = 32 };

struct tfevents_scalar {
    const char *tag;
    float value;
};

/* Whether this build can: without protobuf-c the functions below add nothing. */
bool tfevents_supported(void);

/* What a file begins with. wall_time: seconds since 1970. */
void tfevents_begin(struct buffer *file, double wall_time);

/* The scalars of one step, at most TFEVENTS_SCALARS. */
void tfevents_scalars(struct buffer *file, double wall_time, int64_t step, const struct tfevents_scalar *scalars, size_t count);

#endif
