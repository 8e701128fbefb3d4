#include "io/chart.h"

#include <math.h>

enum { WIDTH = 460, HEIGHT = 240, LEFT = 66, RIGHT = 12, TOP = 10, BOTTOM = 28, TICKS = 5 };

struct axis {
    double low, high, step;
};

/* 1, 2 or 5 times a power of ten, so that a range has about TICKS of them; at least `least`, more than 0. */
static double tick_step(double range, double least)
{
    double power = 1, wanted = fmax(range / TICKS, least);
    while (power < wanted)
        power *= 10;
    while (power / 10 >= wanted)
        power /= 10;
    return power / 5 >= wanted ? power / 5 : power / 2 >= wanted ? power / 2 : power;
}

/* A figure as its axis counts. */
static double shown(const struct chart *c, double y)
{
    return c->percent ? 100 * y : y;
}

static const char *unit_of(const struct chart *c)
{
    return c->percent ? " %" : "";
}

static struct axis y_axis(const struct chart *c)
{
    struct axis a = {INFINITY, -INFINITY, 0};
    for (int l = 0; l < c->line_count; l++)
        for (size_t i = 0; i < c->count; i++)
            if (isfinite(c->lines[l].y[i])) {
                a.low = fmin(a.low, shown(c, c->lines[l].y[i]));
                a.high = fmax(a.high, shown(c, c->lines[l].y[i]));
            }
    if (!(a.low <= a.high))
        a.low = a.high = 0;
    double margin = a.high > a.low ? 0 : fabs(a.high) > 0 ? fabs(a.high) / 10 : 1;
    a.step = tick_step(a.high - a.low + 2 * margin, 0);
    a.low = floor((a.low - margin) / a.step) * a.step;
    a.high = ceil((a.high + margin) / a.step) * a.step;
    return a;
}

static double x_at(const struct axis *a, double x)
{
    return LEFT + (x - a->low) / (a->high - a->low) * (WIDTH - LEFT - RIGHT);
}

static double y_at(const struct axis *a, double y)
{
    return HEIGHT - BOTTOM - (y - a->low) / (a->high - a->low) * (HEIGHT - TOP - BOTTOM);
}

static void add_grid(struct buffer *page, const struct chart *c, const struct axis *x, const struct axis *y)
{
    for (int i = 0; i <= (int)lround((y->high - y->low) / y->step); i++) {
        double value = y->low + i * y->step, at = y_at(y, value);
        buffer_format(page, "<path class=\"grid\" d=\"M%d %.1fH%d\"/><text class=\"left\" x=\"%d\" y=\"%.1f\">%.5g%s</text>\n", LEFT, at, WIDTH - RIGHT,
                      LEFT - 7, at, fabs(value) < 1e-9 * y->step ? 0.0 : value, unit_of(c));
    }
    const int first = (int)ceil(x->low / x->step), last = (int)floor(x->high / x->step);
    for (int i = first; i <= last; i++)
        buffer_format(page, "<text class=\"below\" x=\"%.1f\" y=\"%d\">%.5g</text>\n", x_at(x, i * x->step), HEIGHT - BOTTOM + 8, i * x->step);
}

/* A line, and dots where they do not crowd. */
static void add_line(struct buffer *page, const struct chart *c, int l, const struct axis *x, const struct axis *y)
{
    const struct chart_line *line = &c->lines[l];
    bool down = false;
    buffer_format(page, "<path class=\"line s%d%s\" d=\"", l, line->dashed ? " dashed" : "");
    for (size_t i = 0; i < c->count; i++) {
        if (isfinite(line->y[i]))
            buffer_format(page, "%c%.1f %.1f", down ? 'L' : 'M', x_at(x, c->x[i]), y_at(y, shown(c, line->y[i])));
        down = isfinite(line->y[i]);
    }
    buffer_format(page, "\"/>\n");
    for (size_t i = 0; i < c->count && c->count <= 40 && (!line->dashed || c->count == 1); i++)
        if (isfinite(line->y[i]))
            buffer_format(page, "<circle class=\"s%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"><title>epoch %.0f: %.6g%s</title></circle>\n", l,
                          x_at(x, c->x[i]), y_at(y, shown(c, line->y[i])), c->x[i], shown(c, line->y[i]), unit_of(c));
}

void chart_add(struct buffer *page, const struct chart *c)
{
    struct axis y = y_axis(c), x = {c->x[0], c->x[c->count - 1], 1};
    if (x.low == x.high) {
        x.low -= 1;
        x.high += 1;
    } else
        x.step = tick_step(x.high - x.low, 1);
    buffer_format(page, "<figure class=\"chart\"><figcaption>%s</figcaption>\n<p class=\"key\">", c->title);
    for (int l = 0; l < c->line_count; l++)
        buffer_format(page, " <span class=\"s%d\">%s&#160;%s</span>", l, c->lines[l].dashed ? "&#9476;" : "&#9473;", c->lines[l].name);
    buffer_format(page, "</p>\n<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">\n", WIDTH, HEIGHT, c->title);
    add_grid(page, c, &x, &y);
    for (int l = 0; l < c->line_count; l++)
        add_line(page, c, l, &x, &y);
    buffer_format(page, "</svg>\n");
    if (c->note)
        buffer_format(page, "<p>%s</p>\n", c->note);
    buffer_format(page, "</figure>\n");
}
