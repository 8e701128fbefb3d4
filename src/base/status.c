#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

enum simclr_status (fail)(struct simclr_error *err, enum simclr_status status, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
    }
    return status;
}
