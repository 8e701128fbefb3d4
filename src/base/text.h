/* Texts that are not ours, names of files above all, on their way to a terminal or a list. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* Copies text, UTF-8, so that it stays one line and moves no cursor: control characters and bytes that are not UTF-8 become "\x1b".
 * What does not fit in size bytes (at least 1) is cut off between characters. text and out do not overlap; returns out. */
char *text_printable(char *out, size_t size, const char *text);

/* "" for one, "s" for others. */
const char *text_plural(uint64_t count);

#endif
