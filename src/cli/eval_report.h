/* How simclr eval tells what it found: on one screen, or as JSON. */
#ifndef CLI_EVAL_REPORT_H
#define CLI_EVAL_REPORT_H

#include "eval/evaluate.h"
#include "train/encoder_data.h"

#include <stdbool.h>

struct eval_report {
    const struct encoder *encoder;
    uint64_t hash;                        /* of the encoder, before and after */
    const struct run_data *data;
    const char *path;                     /* of the data; "": the generated set */
    const char *test_origin;              /* where the test images are from: a clause */
    int k;                                /* that was asked for */
    const struct evaluation *trained, *untrained; /* the latter may be NULL */
    bool per_class;
};

void eval_print(const struct eval_report *report);
enum simclr_status eval_print_json(const struct eval_report *report, struct simclr_error *err);

#endif
