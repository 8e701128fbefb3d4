/* A file while it is made in memory. What cannot be added for want of memory is remembered, and asked about once, at the end. */
#ifndef IO_BUFFER_H
#define IO_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

/* {0} is empty. */
struct buffer {
    char *data;
    size_t size, room;
    bool failed; /* something is missing */
};

void buffer_add(struct buffer *buffer, const void *data, size_t size);
void buffer_format(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A field of CSV (RFC 4180), in quotes where it needs them. */
void buffer_csv(struct buffer *buffer, const char *text);
/* A string of JSON, in its quotes; text is UTF-8. */
void buffer_json(struct buffer *buffer, const char *text);
/* Keeps the memory. */
void buffer_clear(struct buffer *buffer);
void buffer_free(struct buffer *buffer);

#endif
