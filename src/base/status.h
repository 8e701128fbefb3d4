/* Filling struct simclr_error. */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#include "simclr/simclr.h"

/* Writes the formatted sentence into err (which may be NULL) and returns status, so that a caller can `return fail(...)`. Names in it
 * may hold anything: what would not print is escaped (base/text.h). */
enum simclr_status fail(struct simclr_error *err, enum simclr_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
