#include "base/status.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>

enum simclr_status (fail)(struct simclr_error *err, enum simclr_status status, const char *format, ...)
{
    char text[sizeof err->text];
    if (err) {
        va_list args;
        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        text_printable(err->text, sizeof err->text, text);
    }
    return status;
}
