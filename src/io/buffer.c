#include "io/buffer.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for `size` more bytes and a zero. */
static bool reserve(struct buffer *b, size_t size)
{
    enum { LEAST = 4096 };
    if (b->failed || size >= SIZE_MAX / 4 || b->size >= SIZE_MAX / 4) {
        b->failed = true;
        return false;
    }
    if (b->size + size < b->room)
        return true;
    size_t room = 2 * (b->size + size) + LEAST;
    char *more = realloc(b->data, room);
    b->failed = !more;
    if (!more)
        return false;
    b->data = more;
    b->room = room;
    return true;
}

void buffer_add(struct buffer *b, const void *data, size_t size)
{
    if (size == 0 || !reserve(b, size))
        return;
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

void buffer_format(struct buffer *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n <= 0 || !reserve(b, (size_t)n))
        return;
    va_start(args, format);
    vsnprintf(b->data + b->size, (size_t)n + 1, format, args);
    va_end(args);
    b->size += (size_t)n;
}

void buffer_csv(struct buffer *b, const char *text)
{
    if (!text[strcspn(text, ",\"\r\n")]) {
        buffer_add(b, text, strlen(text));
        return;
    }
    buffer_add(b, "\"", 1);
    for (const char *at = text; *at;) {
        size_t plain = strcspn(at, "\"");
        buffer_add(b, at, plain + (at[plain] == '"'));
        at += plain;
        if (*at++ != '"')
            break;
        buffer_add(b, "\"", 1);
    }
    buffer_add(b, "\"", 1);
}

void buffer_json(struct buffer *b, const char *text)
{
    json_t *string = json_string(text);
    char *quoted = json_dumps(string, JSON_ENCODE_ANY);
    if (quoted)
        buffer_add(b, quoted, strlen(quoted));
    b->failed |= quoted == NULL;
    free(quoted);
    json_decref(string);
}

void buffer_clear(struct buffer *b)
{
    b->size = 0;
    b->failed = false;
}

void buffer_free(struct buffer *b)
{
    free(b->data);
    *b = (struct buffer){.data = NULL};
}
