/* What the files of the page share. */
#ifndef BENCH_HTML_PARTS_H
#define BENCH_HTML_PARTS_H

#include "bench/html.h"

std::string escape(const std::string &text); /* for text and attributes */
std::string number(double value);            /* three digits that count, no exponent */

/* What rows of one colour and mark have in common. */
struct Kind {
    const char *title;
    const char *mark; /* SVG around (0, 0), in currentColor */
};
extern const std::vector<Kind> kinds;
size_t kind_of(const Result &row);

const Peaks *peaks_of(const Report &report, const std::string &path); /* NULL: not an ISA */

extern const char page_style[], page_script[];
std::string rooflines(const Report &report);
std::string bars(const Report &report);

#endif
