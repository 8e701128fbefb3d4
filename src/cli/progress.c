#include "cli/progress.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { LINE = 1024 };
static const double BAR_INTERVAL = 0.1, LINE_INTERVAL = 10; /* seconds between updates */

struct progress progress_begin(FILE *out, const volatile sig_atomic_t *stop)
{
    const char *term = getenv("TERM");
    bool dumb = term && strcmp(term, "dumb") == 0;
    return (struct progress){.out = out, .terminal = isatty(fileno(out)) && !dumb, .last = clock_seconds(), .stop = stop};
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

void progress_end(struct progress *progress)
{
    clear_bar(progress);
    fflush(progress->out);
}

/* "1234 images/s, ETA 2:05" */
static void speed_text(char *text, size_t size, const char *unit, double per_second, double eta_seconds)
{
    char eta[32];
    progress_duration(eta, eta_seconds);
    snprintf(text, size, "%.*f %s, ETA %s", per_second < 100 ? 1 : 0, per_second, unit, eta);
}

/* "1234 images/s, data 4 %, ETA 2:05" */
static void print_speed(FILE *out, const struct train_progress *t)
{
    char eta[32];
    progress_duration(eta, t->eta_seconds);
    fprintf(out, "%.*f images/s, data %.0f %%, ETA %s", t->images_per_second < 100 ? 1 : 0, t->images_per_second, 100 * t->data_share, eta);
}

/* Adds a field, two spaces before it, if it fits whole. */
static int add_field(char text[LINE], int n, int room, const char *field)
{
    return n + 2 + (int)strlen(field) <= room ? n + snprintf(text + n, (size_t)(LINE - n), "  %s", field) : n;
}

/* Columns of the line, without the cursor and the terminal's own "^C". */
static int room_of(const struct progress *p)
{
    return columns(p->out) - 3;
}

/* The bar takes what the text leaves of the line, at most 30 columns; where that is too little, the percentage or the text alone. */
static void draw_bar(struct progress *p, double done, const char *text)
{
    int room = room_of(p), left = room - (int)strlen(text), width = left - 9; /* "[", "] 100 % " */
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
    fprintf(p->out, "%.*s\033[K", room, text);
    p->bar_shown = true;
}

static void show_bar(struct progress *p, const struct train_progress *t)
{
    char text[LINE], field[96];
    int room = room_of(p), n = snprintf(text, sizeof text, "epoch %d/%d", t->epoch, t->epochs);
    if (t->step > 0 && t->images_per_second > 0) {
        speed_text(field, sizeof field, "img/s", t->images_per_second, t->eta_seconds);
        n = add_field(text, n, room, field);
    }
    if (t->loss > 0) {
        snprintf(field, sizeof field, "loss %.4f (%.0f %%)", t->loss, progress_place(t->loss, t->floor, t->ceiling));
        n = add_field(text, n, room, field);
        snprintf(field, sizeof field, "data %.0f %%", 100 * t->data_share);
        n = add_field(text, n, room, field);
    }
    if (strcmp(t->phase, "train") != 0)
        add_field(text, n, room, t->phase);
    draw_bar(p, t->steps ? (double)t->step / (double)t->steps : 0, text);
}

static void show_line(struct progress *p, const struct train_progress *t)
{
    fprintf(p->out, "step %llu/%llu, epoch %d/%d: loss %.4f (%.0f %% of the way from ceiling %.3f to floor %.3f), ",
            (unsigned long long)t->step, (unsigned long long)t->steps, t->epoch, t->epochs, t->loss,
            progress_place(t->loss, t->floor, t->ceiling), t->ceiling, t->floor);
    print_speed(p->out, t);
    fputc('\n', p->out);
}

static void show_epoch(struct progress *p, const struct train_progress *t)
{
    fprintf(p->out, "epoch %d/%d: loss %.4f (%.0f %% of the way from ceiling %.3f to floor %.3f), retrieval@1 %.1f %%", t->epoch,
            t->epochs, t->loss, progress_place(t->loss, t->floor, t->ceiling), t->ceiling, t->floor, 100 * t->retrieval1);
    if (t->knn >= 0)
        fprintf(p->out, ", kNN %.1f %%", 100 * t->knn);
    fputs(", ", p->out);
    print_speed(p->out, t);
    fputc('\n', p->out);
}

/* Warnings go where errors go. */
static void show_text(struct progress *p, const struct train_progress *t)
{
    clear_bar(p);
    if (strcmp(t->phase, "warning") == 0) {
        fflush(p->out);
        fprintf(stderr, "simclr: %s\n", t->text);
    } else {
        fprintf(p->out, "%s\n", t->text);
        fflush(p->out);
    }
}

static void tell_events(struct progress *p, const struct train_progress *t)
{
    if (!p->untrained_told && t->knn_untrained >= 0 && strcmp(t->phase, "train") == 0) {
        clear_bar(p);
        fprintf(p->out, "untrained encoder: kNN %.1f %%\n", 100 * t->knn_untrained);
        p->untrained_told = true;
    }
    if (*p->stop && !p->stop_told) {
        clear_bar(p);
        fprintf(p->out, "stopping: writing a checkpoint (once more to stop at once)\n");
        p->stop_told = true;
    }
}

int progress_report(void *ctx, const struct train_progress *t, bool epoch_done)
{
    struct progress *p = ctx;
    double time = clock_seconds();
    bool training = strcmp(t->phase, "train") == 0;
    if (t->text) {
        show_text(p, t);
        return *p->stop != 0;
    }
    tell_events(p, t);
    if (epoch_done) {
        clear_bar(p);
        show_epoch(p, t);
        p->last = time;
    } else if (p->terminal && (!training || time - p->last >= BAR_INTERVAL)) {
        show_bar(p, t);
        p->last = time;
    } else if (!p->terminal && training && time - p->last >= LINE_INTERVAL) {
        show_line(p, t);
        p->last = time;
    }
    fflush(p->out);
    return *p->stop != 0;
}

int progress_packed(void *ctx, const struct pack_progress *t)
{
    struct progress *p = ctx;
    double time = clock_seconds();
    bool complete = p->terminal && t->done == t->total;
    char text[LINE], speed[96];
    if (!complete && time - p->last < (p->terminal ? BAR_INTERVAL : LINE_INTERVAL))
        return *p->stop != 0;
    p->last = time;
    speed_text(speed, sizeof speed, "images/s", t->images_per_second, t->eta_seconds);
    snprintf(text, sizeof text, "image %zu of %zu, %s", t->done, t->total, speed);
    if (p->terminal)
        draw_bar(p, t->total ? (double)t->done / (double)t->total : 0, text);
    else
        fprintf(p->out, "%s\n", text);
    fflush(p->out);
    return *p->stop != 0;
}
