#include "io/html.h"

#include "base/text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char *entity(char c)
{
    switch (c) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '"': return "&quot;";
    default: return "&#39;";
    }
}

void html_text(struct buffer *page, const char *text)
{
    size_t size = 4 * strlen(text) + 1;
    char *shown = malloc(size);
    if (!shown) {
        page->failed = true;
        return;
    }
    text_printable(shown, size, text);
    for (const char *at = shown; *at;) {
        size_t plain = strcspn(at, "&<>\"'");
        buffer_add(page, at, plain);
        at += plain;
        if (*at)
            buffer_format(page, "%s", entity(*at++));
    }
    free(shown);
}

void html_element(struct buffer *page, const char *tag, const char *text)
{
    buffer_format(page, "<%s>", tag);
    html_text(page, text);
    buffer_format(page, "</%s>\n", tag);
}

void html_data_uri(struct buffer *page, const char *type, const struct buffer *file)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *p = (const uint8_t *)file->data;
    page->failed |= file->failed;
    buffer_format(page, "data:%s;base64,", type);
    for (size_t left = file->size; left > 0; left -= left < 3 ? left : 3, p += 3) {
        unsigned bits = (unsigned)p[0] << 16 | (left > 1 ? (unsigned)p[1] << 8 : 0) | (left > 2 ? p[2] : 0);
        char group[4] = {digits[bits >> 18], digits[bits >> 12 & 63], '=', '='};
        if (left > 1)
            group[2] = digits[bits >> 6 & 63];
        if (left > 2)
            group[3] = digits[bits & 63];
        buffer_add(page, group, sizeof group);
    }
}
