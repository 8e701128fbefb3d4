#include "data/image_progress.h"

#include "base/clock.h"

struct image_progress image_progress_begin(image_report_fn *report, void *ctx, size_t total)
{
    return (struct image_progress){.report = report, .ctx = ctx, .total = total, .started = clock_seconds()};
}

bool image_progress_add(struct image_progress *p, size_t images)
{
    double seconds = clock_seconds() - p->started;
    p->done += images;
    p->images_per_second = seconds > 0 ? (double)p->done / seconds : 0;
    p->eta_seconds = p->done ? seconds / (double)p->done * (double)(p->total - p->done) : 0;
    return p->report && p->report(p->ctx, p) != 0;
}
