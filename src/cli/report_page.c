#include "cli/report_page.h"

#include "base/status.h"
#include "base/text.h"
#include "cli/progress.h"
#include "io/chart.h"
#include "io/html.h"
#include "nn/ntxent.h"
#include "simd/dispatch.h"
#include "simd/kernels.h"
#include "train/config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char head[] =
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<style>\n"
    ":root { color-scheme: light dark; --paper: #fdfdfc; --ink: #1c1f23; --soft: #5a6068; --line: #dcdfe3; --faint: #eceef0;\n"
    "  --k0: #1a63bd; --k1: #b8500a; --k2: #24773a; --k3: #8a3a9e; --light: 42%; }\n"
    "@media screen and (prefers-color-scheme: dark) { :root { --paper: #15171a; --ink: #e7e9ec; --soft: #a2a9b2; --line: #33383e;\n"
    "  --faint: #24282d; --k0: #6daeff; --k1: #ff9a56; --k2: #62c47c; --k3: #d48fe8; --light: 62%; } }\n"
    "* { box-sizing: border-box; }\n"
    "body { margin: 0 auto; max-width: 1180px; padding: 1.2rem 1.25rem 4rem; background: var(--paper); color: var(--ink);\n"
    "  font: 15px/1.5 system-ui, -apple-system, \"Segoe UI\", Roboto, \"Helvetica Neue\", \"Liberation Sans\", Arial, sans-serif; }\n"
    "h1, h2 { line-height: 1.25; font-weight: 600; margin: 0; overflow-wrap: anywhere; }\n"
    "h1 { font-size: 1.5rem; }\nh2 { font-size: 1.2rem; margin: 2.5rem 0 .6rem; }\n"
    "p { margin: .4rem 0; max-width: 60rem; color: var(--soft); overflow-wrap: anywhere; }\n"
    "dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 9rem), 1fr)); gap: .5rem 1.5rem; margin: 1rem 0; }\n"
    "dt { color: var(--soft); font-size: .8rem; }\ndd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }\n"
    ".figures dd { font-size: 1.25rem; }\n"
    ".charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); gap: 1.2rem 2rem; }\n"
    ".maps { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1rem 2rem; margin: .6rem 0 1.4rem; }\n"
    "figure { margin: 0; break-inside: avoid; }\nfigcaption { font-weight: 600; }\n"
    "figure p { font-size: .85rem; }\n.key span { margin-right: .6rem; }\nfigure .key { margin: 0; }\n"
    "svg { display: block; width: 100%; height: auto; }\n"
    ".chart text { font-size: 13px; fill: var(--soft); font-variant-numeric: tabular-nums; }\n"
    ".chart .left { text-anchor: end; dominant-baseline: central; }\n.chart .below { text-anchor: middle; dominant-baseline: hanging; }\n"
    ".grid { stroke: var(--line); fill: none; }\n.line { stroke: currentColor; stroke-width: 2; fill: none; }\n.line.dashed { stroke-width: 1.5; stroke-dasharray: 5 4; }\n"
    "circle { fill: currentColor; }\n.s0 { color: var(--k0); } .s1 { color: var(--k1); } .s2 { color: var(--k2); } .s3 { color: var(--k3); }\n"
    "[style^=\"--h\"] { color: hsl(var(--h) 70% var(--light)); }\n"
    ".map { border: 1px solid var(--line); border-radius: 4px; }\n.map circle { fill-opacity: .75; }\n"
    ".row { display: flex; gap: .5rem; list-style: none; margin: 0 0 .8rem; padding: 0 0 .2rem; overflow-x: auto; }\n"
    ".row li { flex: 0 0 6rem; width: 6rem; }\n.row li:first-child { padding-right: .6rem; margin-right: .1rem; flex-basis: 6.7rem; border-right: 1px solid var(--line); }\n"
    ".row img, .none { display: block; width: 6rem; height: 6rem; object-fit: contain; border-radius: 4px; }\n"
    ".row b { display: block; font-size: .85rem; font-weight: 600; }\n"
    ".row small { display: block; margin-top: .1rem; color: var(--soft); font-size: .72rem; line-height: 1.3; overflow-wrap: anywhere; }\n"
    "</style>\n";

/* The last value of a figure that is there; NaN: none. */
static double last_of(const struct history *h, const char *name)
{
    double *values = malloc((h->count + 1) * sizeof *values), last = NAN;
    if (values && history_values(values, h, name))
        for (size_t i = 0; i < h->count; i++)
            last = isfinite(values[i]) ? values[i] : last;
    free(values);
    return last;
}

static void figure(struct buffer *page, const char *name, const char *format, double value)
{
    char text[64];
    if (!isfinite(value))
        return;
    snprintf(text, sizeof text, format, value);
    buffer_format(page, "<div><dt>%s</dt><dd>%s</dd></div>\n", name, text);
}

void report_begin(struct buffer *page, const struct report *r)
{
    const struct train_config *c = &r->encoder->config;
    const struct history *h = &r->history;
    char title[4200];
    buffer_add(page, head, sizeof head - 1);
    snprintf(title, sizeof title, "SimCLR run %s", r->run);
    html_element(page, "title", title);
    buffer_format(page, "</head>\n<body>\n<header>\n");
    html_element(page, "h1", title);
    buffer_format(page, "<p>ResNet-%d, width %g, on images of %d &#215; %d &#215; %d, after %llu steps in batches of %d. Images of this page: ",
                  c->network.depth, c->network.width, c->network.image_size, c->network.image_size, c->network.channels,
                  (unsigned long long)r->encoder->step, c->batch_size);
    html_text(page, r->data ? r->data : c->data[0] ? c->data : "the generated set");
    buffer_format(page, ", %zu of them.</p>\n<dl class=\"figures\">\n", r->bank.rows);
    figure(page, "epochs", "%.0f", last_of(h, "epoch"));
    figure(page, "loss", "%.4f", last_of(h, "loss"));
    figure(page, "of the way to its floor", "%.1f %%", 100 * last_of(h, "loss_place"));
    figure(page, "retrieval@1", "%.1f %%", 100 * last_of(h, "retrieval@1"));
    figure(page, c->init[0] ? "kNN, initial" : "kNN, untrained", "%.1f %%", 100 * last_of(h, "knn_untrained"));
    figure(page, "kNN, trained", "%.1f %%", 100 * last_of(h, "knn"));
    buffer_format(page, "</dl>\n</header>\n");
}

/* ---- Curves ---- */

struct curves {
    struct buffer *page;
    const struct history *history;
    double *x, *y; /* (count), (CHART_LINES, count) */
};

/* A chart of the figures that are there, by name; where a run wrote none of them there is no chart. A name that begins with a dash is a bound. */
static void add_chart(const struct curves *s, const char *title, const char *note, bool percent, const char *const names[CHART_LINES][2])
{
    struct chart chart = {.title = title, .note = note, .percent = percent, .x = s->x, .count = s->history->count};
    bool any = false;
    for (int i = 0; i < CHART_LINES && names[i][0]; i++) {
        bool bound = names[i][0][0] == '-';
        double *y = s->y + (size_t)chart.line_count * s->history->count;
        if (!history_values(y, s->history, names[i][0] + bound))
            continue;
        any |= !bound;
        chart.lines[chart.line_count++] = (struct chart_line){.name = names[i][1], .y = y, .dashed = bound};
    }
    if (any)
        chart_add(s->page, &chart);
}

/* The bounds of the loss are those of the run's record, else of its batches. */
static void add_loss(const struct curves *s, const struct train_config *c)
{
    size_t n = s->history->count;
    double *loss = s->y, *floor = loss + n, *ceiling = floor + n;
    if (!history_values(loss, s->history, "loss"))
        return;
    if (!history_values(floor, s->history, "loss_floor") || !history_values(ceiling, s->history, "loss_ceiling"))
        for (size_t i = 0; i < n; i++) {
            floor[i] = ntxent_floor(2 * c->batch_size, c->temperature);
            ceiling[i] = ntxent_ceiling(2 * c->batch_size);
        }
    struct chart chart = {.title = "Loss", .x = s->x, .count = n, .line_count = 3,
                          .note = "Ceiling: no two images are told apart. Floor: views of an image agree, all others are orthogonal.",
                          .lines = {{"loss", loss, false}, {"ceiling", ceiling, true}, {"floor", floor, true}}};
    chart_add(s->page, &chart);
}

enum simclr_status report_curves(struct buffer *page, const struct report *r, struct simclr_error *err)
{
    static const char *const knn[CHART_LINES][2] = {{"knn", "trained"}, {"-knn_untrained", "untrained"}};
    static const char *const retrieval[CHART_LINES][2] = {{"retrieval@1", "retrieval@1"}, {"retrieval@5", "retrieval@5"}};
    static const char *const spread[CHART_LINES][2] = {{"alignment", "alignment"}, {"uniformity", "uniformity"}};
    static const char *const rate[CHART_LINES][2] = {{"lr", "--lr"}};
    static const char *const rank[CHART_LINES][2] = {{"effective_rank", "directions"}};
    size_t n = r->history.count;
    buffer_format(page, "<section>\n<h2>Training, by epoch</h2>\n");
    if (n == 0)
        buffer_format(page, "<p>There is no metrics.jsonl beside the checkpoint, or no epoch is whole yet.</p>\n</section>\n");
    if (n == 0)
        return SIMCLR_OK;
    double *x = malloc((CHART_LINES + 1) * n * sizeof *x);
    if (!x)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for the curves of %zu epochs", n);
    struct curves s = {.page = page, .history = &r->history, .x = x, .y = x + n};
    if (!history_values(x, &r->history, "epoch") || isnan(x[0]))
        for (size_t i = 0; i < n; i++)
            x[i] = (double)i + 1;
    buffer_format(page, "<div class=\"charts\">\n");
    add_loss(&s, &r->encoder->config);
    add_chart(&s, "kNN accuracy", NULL, true, knn);
    add_chart(&s, "Retrieval in the batch", "How often an image's other view is the nearest of the batch, or among the five nearest.", true, retrieval);
    add_chart(&s, "Alignment and uniformity", "Lower is better: views of an image close together, images spread apart. One may rise while the other falls.", false, spread);
    add_chart(&s, "Effective rank", "Directions that the features use; a fall towards 1 is a collapse.", false, rank);
    add_chart(&s, "Learning rate", NULL, false, rate);
    buffer_format(page, "</div>\n</section>\n");
    free(x);
    return SIMCLR_OK;
}

/* ---- Settings, machine, time ---- */

enum simclr_status report_settings(struct buffer *page, const struct report *r, struct simclr_error *err)
{
    size_t count;
    const struct setting *settings = train_settings(&count);
    buffer_format(page, "<section>\n<h2>Settings</h2>\n<dl>\n");
    for (size_t i = 0; i < count; i++) {
        char *value = train_setting_text(&r->encoder->config, &settings[i]);
        if (!value)
            return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for the settings");
        size_t length = strlen(value), quote = length > 1 && value[0] == '"';
        value[length - quote] = 0;
        buffer_format(page, "<div><dt>%s</dt><dd>", settings[i].name);
        html_text(page, length > 2 * quote ? value + quote : "none");
        buffer_format(page, "</dd></div>\n");
        free(value);
    }
    buffer_format(page, "</dl>\n</section>\n");
    return SIMCLR_OK;
}

static double sum_of(const struct history *h, const char *name)
{
    double *values = malloc((h->count + 1) * sizeof *values), sum = 0;
    if (values && history_values(values, h, name))
        for (size_t i = 0; i < h->count; i++)
            sum += isfinite(values[i]) ? values[i] : 0;
    free(values);
    return sum;
}

void report_end(struct buffer *page, const struct report *r)
{
    char model[128], features[512], trained[32], date[64] = "";
    time_t now = time(NULL);
    struct tm tm;
    if (gmtime_r(&now, &tm))
        strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", &tm);
    cpu_describe(model, sizeof model, features, sizeof features);
    double seconds = sum_of(&r->history, "perf/seconds");
    buffer_format(page, "<section id=\"machine\">\n<h2>Machine and time</h2>\n<dl>\n");
    progress_duration(trained, seconds);
    if (seconds > 0)
        buffer_format(page, "<div><dt>training steps took</dt><dd>%s</dd></div>\n", trained);
    figure(page, "images/s, last epoch", "%.0f", last_of(&r->history, "perf/images_per_second"));
    figure(page, "GFLOP/s, last epoch", "%.0f", last_of(&r->history, "perf/gflop_per_second"));
    figure(page, "of the peak of FMAs", "%.0f %%", last_of(&r->history, "perf/percent_of_peak"));
    figure(page, "of the time, for data", "%.1f %%", 100 * last_of(&r->history, "perf/data_share"));
    buffer_format(page, "<div><dt>this page was made on</dt><dd>");
    html_text(page, model);
    buffer_format(page, "</dd></div>\n<div><dt>with</dt><dd>%s kernels, %d thread%s</dd></div>\n<div><dt>at</dt><dd>%s</dd></div>\n"
                  "<div><dt>by</dt><dd>simclr %s</dd></div>\n</dl>\n</section>\n</body>\n</html>\n",
                  r->engine->kernels->name, r->engine->threads, text_plural((uint64_t)r->engine->threads), date, SIMCLR_VERSION);
}
