/* How far a walk over images is, told to whoever shows it. */
#ifndef DATA_IMAGE_PROGRESS_H
#define DATA_IMAGE_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

struct image_progress;

/* Called after every few images; returning non-zero asks to stop. */
typedef int image_report_fn(void *ctx, const struct image_progress *progress);

struct image_progress {
    image_report_fn *report; /* NULL: nobody looks */
    void *ctx;
    size_t done, total; /* images */
    double images_per_second, eta_seconds;
    double started; /* clock_seconds() */
};

/* Before the first image. */
struct image_progress image_progress_begin(image_report_fn *report, void *ctx, size_t total);
/* So many more are done. True: the reporter asks to stop. */
bool image_progress_add(struct image_progress *progress, size_t images);

#endif
