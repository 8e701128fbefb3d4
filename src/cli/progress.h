/* How a run's progress is shown: on a terminal a bar updated in place, elsewhere plain lines now and then. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "data/image_progress.h"
#include "train/trainer.h"

#include <stdio.h>

struct progress {
    FILE *out;
    bool terminal;
    bool bar_shown;      /* the cursor stands at the end of a bar */
    bool untrained_told;
    double last;         /* when something was last shown, seconds */
    bool unread;         /* out has no reader any more, and that was told */
};

/* Looks whether out is a terminal: lines fit it then. */
struct progress progress_begin(FILE *out);

/* A train_report_fn, and an image_report_fn below; ctx is a struct progress. Neither asks to stop. */
int progress_report(void *ctx, const struct train_progress *progress, bool epoch_done);

int progress_images(void *ctx, const struct image_progress *progress);

/* What goes on, and how much of it is done, 0 to 1; shown on a terminal alone. */
void progress_phase(void *ctx, const char *phase, double done);

/* A line that lasts. */
void progress_text(struct progress *progress, const char *text);

/* Ends a bar that is still shown. */
void progress_end(struct progress *progress);

/* Share of the way from ceiling to floor, in percent. */
double progress_place(double loss, double floor, double ceiling);

/* "2:05", "3:12:44", "4d 02:10" */
void progress_duration(char text[32], double seconds);

#endif
