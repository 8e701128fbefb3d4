/* Filling struct simclr_error. */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#include "simclr/status.h"

/* Writes the formatted sentence into err (which may be NULL) and returns status, so that a caller can `return fail(...)`. Names in it
 * may hold anything: what would not print is escaped (base/text.h). */
enum simclr_status fail(struct simclr_error *err, enum simclr_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#ifdef __clang_analyzer__ /* which sees one file at a time, and not that fail returns its status */
#define fail(err, status, ...) ((void)fail(err, status, __VA_ARGS__), (status))
#endif

#endif
