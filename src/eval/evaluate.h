/* What a frozen encoder is worth: kNN and a linear probe on its features, trained on one set of labelled images and tested on another. */
#ifndef EVAL_EVALUATE_H
#define EVAL_EVALUATE_H

#include "data/image_progress.h"
#include "data/loader.h"
#include "eval/probe.h"
#include "nn/network.h"

enum { EVALUATE_MOST_K = 8, EVALUATE_MOST_T = 6 };

struct evaluate_options {
    int batch;             /* images a pass */
    int k;                 /* of the kNN that is quoted */
    double temperature;
    uint64_t seed;         /* of the probe's split of the training images */
    void (*report)(void *ctx, const char *phase, double done); /* done: share of it, 0 to 1. NULL: nobody looks */
    image_report_fn *report_images;
    void *ctx;
};

/* The accuracies are shares of the labelled test images. */
struct evaluation_part {
    const char *name;      /* "h" or "z" */
    int d;
    double knn;            /* with the options' k, cut to the bank, and temperature */
    double knn_sweep[EVALUATE_MOST_K][EVALUATE_MOST_T];
    struct probe probe;    /* its weights are freed */
    struct class_score train, test;
    size_t *class_right;   /* (classes) of the test images, by the probe */
};

struct evaluation {
    int classes;
    size_t train_images, test_images; /* labelled and readable */
    size_t broken;
    int ks[EVALUATE_MOST_K], k_count; /* of the sweep: 1 to 200 and the options', as far as the bank goes; ascending */
    double temperatures[EVALUATE_MOST_T];
    int temperature_count;
    int k_at, temperature_at;         /* where the options' are */
    size_t *class_images;             /* (classes) of the test images */
    struct evaluation_part part[2];   /* h, z */
};

/* Changes neither the network nor the loaders. Too few labels are SIMCLR_ERR_USAGE. */
enum simclr_status evaluate(struct evaluation *evaluation, struct network *network, struct loader *train, struct loader *test, int classes,
                            const struct evaluate_options *options, const struct engine *engine, struct simclr_error *err);
void evaluation_free(struct evaluation *evaluation);

#endif
