#include "base/text.h"

#include <stdint.h>
#include <string.h>

/* Bytes of the UTF-8 character at s (RFC 3629: shortest form, no surrogates) if it may be shown; 0: control character, or not UTF-8. */
static size_t printable_length(const unsigned char *s)
{
    if (s[0] < 0x80)
        return s[0] >= 0x20 && s[0] != 0x7f;
    size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    static const uint32_t least[] = {0, 0, 0xa0 /* C1 controls come before */, 0x800, 0x10000};
    uint32_t code = s[0] & (0xffu >> (n + 1));
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (s[i] & 0x3f);
    }
    return code >= least[n] && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff) ? n : 0;
}

char *text_printable(char *out, size_t size, const char *text)
{
    static const char digits[] = "0123456789abcdef";
    size_t used = 0;
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        size_t n = printable_length(s);
        const char escaped[4] = {'\\', 'x', digits[*s >> 4], digits[*s & 15]};
        const void *shown = n ? (const void *)s : escaped;
        size_t length = n ? n : sizeof escaped;
        if (length > size - 1 - used)
            break;
        memcpy(out + used, shown, length);
        used += length;
        s += n ? n : 1;
    }
    out[used] = 0;
    return out;
}

const char *text_plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}
