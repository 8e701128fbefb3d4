/* What a classifier makes of images: their likeliest classes, row by row as CSV or JSON. */
#ifndef EVAL_PREDICT_H
#define EVAL_PREDICT_H

#include "eval/features.h"

struct predict_options {
    char *const *names; /* (classes) */
    int classes;
    int top;            /* classes told of an image, likeliest first; no more than there are */
    bool json;
    bool parts;         /* as in embed_options */
    int batch;
};

struct predict_result {
    size_t images, broken;
};

/* All readable images of parts, in their order, under a network whose z are logits:
 *   CSV   name,class,probability, then class_2,probability_2 and so on up to `top`;
 *   JSON  a list of {"name": ..., "classes": [{"class": ..., "probability": ...}, ...]}.
 * Of equally likely classes the lower comes first. The output appears when it is whole; what is there is refused, and after an error, or when
 * stopped, there is none. Broken ones the loaders know (loader_broken). */
enum simclr_status predict_write(const char *output, struct network *network, const struct image_part *parts, int count,
                                 const struct predict_options *options, image_report_fn *report, void *ctx, struct predict_result *result,
                                 struct simclr_error *err);

/* The same to an open file, which is called `name` in errors. */
enum simclr_status predict_print(int fd, const char *name, struct network *network, const struct image_part *parts, int count,
                                 const struct predict_options *options, image_report_fn *report, void *ctx, struct predict_result *result,
                                 struct simclr_error *err);

#endif
