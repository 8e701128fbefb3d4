/* Line charts of HTML pages, as SVG. The page's style has the classes: chart, key, s0 to s3, dashed, grid, left, below. */
#ifndef IO_CHART_H
#define IO_CHART_H

#include "io/buffer.h"

struct chart_line {
    const char *name;
    const double *y;  /* NaN: a gap */
    bool dashed;      /* a bound, not a figure */
};

enum { CHART_LINES = 4 };
struct chart {
    const char *title, *note; /* note: a line below, or NULL; both are ours */
    bool percent;             /* figures are shares, shown as per cent */
    const double *x;          /* ascending */
    size_t count;             /* points of a line, at least 1 */
    struct chart_line lines[CHART_LINES];
    int line_count;
};

void chart_add(struct buffer *page, const struct chart *chart);

#endif
