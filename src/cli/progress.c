#include "cli/progress.h"

#include "base/clock.h"
#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { LINE = 1024 };
static const double BAR_INTERVAL = 0.1, LINE_INTERVAL = 10; /* seconds between updates */

struct progress progress_begin(FILE *out)
{
    const char *term = getenv("TERM");
    bool dumb = term && strcmp(term, "dumb") == 0;
    return (struct progress){.out = out, .terminal = isatty(fileno(out)) && !dumb, .last = clock_seconds()};
}

static int columns(FILE *out)
{
    const char *given = getenv("COLUMNS");
    long n = given ? strtol(given, NULL, 10) : 0;
    struct winsize size;
    if (n <= 0 && ioctl(fileno(out), TIOCGWINSZ, &size) == 0)
        n = size.ws_col;
    if (n <= 0)
        n = 80;
    return n < LINE - 64 ? (int)n : LINE - 64;
}

double progress_place(double loss, double floor, double ceiling)
{
    double place = ceiling > floor ? 100 * (ceiling - loss) / (ceiling - floor) : 0;
    return place < 0 && place > -0.5 ? 0 : place; /* never "-0 %" */
}

void progress_duration(char text[32], double seconds)
{
    if (!(seconds >= 0 && seconds < 1e9)) {
        snprintf(text, 32, "?");
        return;
    }
    long s = (long)(seconds + 0.5), h = s / 3600;
    if (h >= 48)
        snprintf(text, 32, "%ldd %02ld:%02ld", h / 24, h % 24, s / 60 % 60);
    else if (h > 0)
        snprintf(text, 32, "%ld:%02ld:%02ld", h, s / 60 % 60, s % 60);
    else
        snprintf(text, 32, "%ld:%02ld", s / 60, s % 60);
}

static void clear_bar(struct progress *p)
{
    if (p->bar_shown)
        fputs("\r\033[K", p->out);
    p->bar_shown = false;
}

/* A reader that went away (simclr train | head) ends nothing: the run is in its folder. It is told once. */
static void flush(struct progress *p)
{
    errno = 0;
    if (fflush(p->out) == 0 || p->unread)
        return;
    p->unread = true;
    fprintf(stderr, "simclr: the progress cannot be shown any more (%s); the work goes on, Ctrl-C or SIGTERM stops it\n", strerror(errno));
}

void progress_end(struct progress *progress)
{
    clear_bar(progress);
    flush(progress);
}

void progress_text(struct progress *progress, const char *text)
{
    clear_bar(progress);
    fprintf(progress->out, "%s\n", text);
    flush(progress);
}

/* A line of fields, each added whole if it fits. */
struct line {
    char text[LINE];
    int used, room;
};

static __attribute__((format(printf, 3, 4))) void add_field(struct line *line, const char *before, const char *format, ...)
{
    char field[256];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(field, sizeof field, format, args), gap = line->used ? (int)strlen(before) : 0;
    va_end(args);
    if (n < (int)sizeof field && line->used + gap + n <= line->room)
        line->used += snprintf(line->text + line->used, (size_t)(LINE - line->used), "%s%s", line->used ? before : "", field);
}

static void add_speed(struct line *line, const char *before, const char *unit, double per_second)
{
    add_field(line, before, "%.*f %s", per_second < 100 ? 1 : 0, per_second, unit);
}

static void add_eta(struct line *line, const char *before, double seconds)
{
    char eta[32];
    progress_duration(eta, seconds);
    add_field(line, before, "ETA %s", eta);
}

static void add_loss(struct line *line, const char *before, const struct train_progress *t)
{
    if (isnan(t->loss))
        add_field(line, before, "every step skipped so far");
    else if (t->loss > t->ceiling)
        add_field(line, before, "loss %.4f (over ceiling)", t->loss);
    else
        add_field(line, before, "loss %.4f (%.0f %%)", t->loss, progress_place(t->loss, t->floor, t->ceiling));
}

/* Columns of the line, without the cursor and the terminal's own "^C". */
static int room_of(const struct progress *p)
{
    return p->terminal ? columns(p->out) - 3 : LINE - 1;
}

/* The bar takes what the text leaves of the line, at most 30 columns; where that is too little, or done is < 0, the percentage or the text
 * alone. */
static void draw_bar(struct progress *p, double done, const struct line *line)
{
    int left = done < 0 ? 0 : line->room - line->used, width = left - 9; /* "[", "] 100 % " */
    if (width > 30)
        width = 30;
    fputs("\r", p->out);
    if (width >= 5) {
        int filled = (int)(done * width);
        fputc('[', p->out);
        for (int i = 0; i < width; i++)
            fputc(i < filled ? '=' : i == filled ? '>' : ' ', p->out);
        fputs("] ", p->out);
    }
    if (left >= 6)
        fprintf(p->out, "%3.0f %% ", 100 * done);
    fprintf(p->out, "%s\033[K", line->text);
    p->bar_shown = true;
}

static void show_bar(struct progress *p, const struct train_progress *t)
{
    struct line line = {.room = room_of(p)};
    if (strcmp(t->phase, "data") == 0) {
        add_field(&line, "", "looking at the images");
    } else {
        add_field(&line, "", "epoch %d/%d", t->epoch, t->epochs);
        if (t->images_per_second > 0)
            add_speed(&line, "  ", "img/s", t->images_per_second);
        if (t->eta_seconds > 0)
            add_eta(&line, ", ", t->eta_seconds);
        if (t->loss > 0)
            add_loss(&line, "  ", t);
        if (strcmp(t->phase, "train") != 0)
            add_field(&line, "  ", "%s", t->phase);
        else if (t->loss > 0)
            add_field(&line, "  ", "data %.0f %%", 100 * t->data_share);
    }
    draw_bar(p, t->steps ? (double)t->step / (double)t->steps : -1, &line);
}

/* What lasts: a line at the end of each epoch, and elsewhere than on a terminal one now and then. */
static void show_line(struct progress *p, const struct train_progress *t, bool epoch_done)
{
    struct line line = {.room = room_of(p)};
    if (!epoch_done)
        add_field(&line, "", "step %llu/%llu", (unsigned long long)t->step, (unsigned long long)t->steps);
    add_field(&line, ", ", "epoch %d/%d", t->epoch, t->epochs);
    add_loss(&line, ": ", t);
    if (epoch_done && t->knn >= 0)
        add_field(&line, ", ", "kNN %.1f %%", 100 * t->knn);
    if (epoch_done && !isnan(t->retrieval1))
        add_field(&line, ", ", "retrieval@1 %.1f %%", 100 * t->retrieval1);
    if (t->images_per_second > 0) {
        add_speed(&line, ", ", "images/s", t->images_per_second);
        add_field(&line, ", ", "data %.0f %%", 100 * t->data_share);
    }
    add_eta(&line, ", ", t->eta_seconds);
    fprintf(p->out, "%s\n", line.text);
}

/* Warnings go where errors go. */
static void show_text(struct progress *p, const struct train_progress *t)
{
    char text[8 * LINE];
    text_printable(text, sizeof text, t->text);
    if (strcmp(t->phase, "warning") == 0) {
        progress_end(p);
        fprintf(stderr, "simclr: %s\n", text);
    } else {
        progress_text(p, text);
    }
}

/* What is trained, once it is known that it can be. */
static void show_run(struct progress *p, const struct train_progress *t)
{
    const struct train_config *c = t->config;
    clear_bar(p);
    fprintf(p->out, "resnet%d", c->network.depth);
    if (c->network.width != 1)
        fprintf(p->out, " x %g", c->network.width);
    fprintf(p->out, ", %d px, batch %d, %d epoch%s of %llu step%s\n", c->network.image_size, c->batch_size, c->epochs,
            text_plural((uint64_t)c->epochs), (unsigned long long)t->steps_per_epoch, text_plural(t->steps_per_epoch));
    char data[8 * LINE];
    fprintf(p->out, "data: %s\n      %zu image%s to train on", c->data[0] ? text_printable(data, sizeof data, c->data) : "the generated set",
            t->images, text_plural(t->images));
    if (t->queries > 0)
        fprintf(p->out, ", %zu others for kNN, %d class%s", t->queries, t->classes, t->classes == 1 ? "" : "es");
    else
        fprintf(p->out, ", %s", c->knn_every > 0 ? "no labels for kNN" : "no kNN");
    fprintf(p->out, "\nloss: %.3f if no two images are told apart (0 %%), %.3f at best (100 %%)\n", t->ceiling, t->floor);
}

static void tell_untrained(struct progress *p, const struct train_progress *t)
{
    if (p->untrained_told || t->knn_untrained < 0 || strcmp(t->phase, "train") != 0)
        return;
    clear_bar(p);
    fprintf(p->out, "%s encoder: kNN %.1f %%\n", t->config->init[0] ? "initial" : "untrained", 100 * t->knn_untrained);
    p->untrained_told = true;
}

int progress_report(void *ctx, const struct train_progress *t, bool epoch_done)
{
    struct progress *p = ctx;
    double time = clock_seconds();
    bool training = strcmp(t->phase, "train") == 0;
    if (t->text) {
        show_text(p, t);
        return 0;
    }
    tell_untrained(p, t);
    if (strcmp(t->phase, "begin") == 0) {
        show_run(p, t);
    } else if (epoch_done) {
        clear_bar(p);
        show_line(p, t, true);
        p->last = time;
    } else if (p->terminal && (!training || time - p->last >= BAR_INTERVAL)) {
        show_bar(p, t);
        p->last = time;
    } else if (!p->terminal && training && time - p->last >= LINE_INTERVAL) {
        show_line(p, t, false);
        p->last = time;
    }
    flush(p);
    return 0;
}

void progress_phase(void *ctx, const char *phase, double done)
{
    struct progress *p = ctx;
    struct line line = {.room = room_of(p)};
    if (!p->terminal)
        return;
    add_field(&line, "", "%s", phase);
    draw_bar(p, done, &line);
    flush(p);
}

int progress_images(void *ctx, const struct image_progress *t)
{
    struct progress *p = ctx;
    struct line line = {.room = room_of(p)};
    double time = clock_seconds();
    bool complete = p->terminal && t->done == t->total;
    if (!complete && time - p->last < (p->terminal ? BAR_INTERVAL : LINE_INTERVAL))
        return 0;
    p->last = time;
    add_field(&line, "", "image %zu of %zu", t->done, t->total);
    add_speed(&line, ", ", "images/s", t->images_per_second);
    add_eta(&line, ", ", t->eta_seconds);
    if (p->terminal)
        draw_bar(p, t->total ? (double)t->done / (double)t->total : 0, &line);
    else
        fprintf(p->out, "%s\n", line.text);
    flush(p);
    return 0;
}
