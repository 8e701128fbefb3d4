/* The parts of the page that `simclr report` writes, in their order. */
#ifndef CLI_REPORT_PAGE_H
#define CLI_REPORT_PAGE_H

#include "eval/bank.h"
#include "eval/neighbours.h"
#include "io/buffer.h"
#include "train/encoder_data.h"
#include "train/history.h"

struct report {
    const struct encoder *encoder;
    const struct engine *engine;
    const char *run, *data; /* as they were named; data NULL: the run's own */
    struct history history;
    struct image_part *part;
    struct bank bank;
};

void report_begin(struct buffer *page, const struct report *report);
enum simclr_status report_curves(struct buffer *page, const struct report *report, struct simclr_error *err);
enum simclr_status report_map(struct buffer *page, const struct report *report, struct simclr_error *err);
enum simclr_status report_neighbours(struct buffer *page, const struct report *report, struct simclr_error *err);
enum simclr_status report_views(struct buffer *page, const struct report *report, struct simclr_error *err);
enum simclr_status report_settings(struct buffer *page, const struct report *report, struct simclr_error *err);
void report_end(struct buffer *page, const struct report *report); /* machine and time: all that differs from one machine to another */

#endif
