/* Linear probe: multinomial logistic regression on frozen features shows what the simplest classifier makes of them.
 *
 * Minimises the mean cross-entropy + lambda / 2 |W|^2, the bias free, over features standardised by the training images' mean and
 * deviation: scikit-learn's StandardScaler and LogisticRegression(C = 1 / (lambda rows)). */
#ifndef EVAL_PROBE_H
#define EVAL_PROBE_H

#include "nn/cross_entropy.h"
#include "simclr/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct probe {
    int d, classes;
    float *weight; /* (d, classes), for features as they come: the standardisation is folded in */
    float *bias;   /* (classes); -FLT_MAX where no training image is of the class */
    size_t rows;   /* labelled training images */
    double lambda;
    size_t held_out, held_out_right; /* of those, what lambda was chosen on, and how many were right when trained on the others; 0: given */
    double loss;       /* what was minimised */
    int iterations;
    bool converged;
};

/* Told before each fit: its number from 1, of how many, and its lambda. */
typedef void probe_report_fn(void *ctx, int fit, int fits, double lambda);

/* x (rows, d), labels below classes; rows with a negative label are left out. lambda 0: that of 100, 10, ... 1e-6 is taken which is right
 * most often on a tenth of each class's images, drawn by seed and fitted without (of equals the strongest); then all are fitted.
 * x is not changed. One class alone, or no class with two images to choose lambda by, is SIMCLR_ERR_USAGE, a feature that is no finite
 * number SIMCLR_ERR_NONFINITE. report may be NULL. */
enum simclr_status probe_fit(struct probe *probe, const float *x, const int *labels, size_t rows, int d, int classes, double lambda,
                             uint64_t seed, const struct engine *engine, probe_report_fn *report, void *ctx, struct simclr_error *err);
void probe_free(struct probe *probe);

/* What a probe makes of the labelled ones of x (rows, d); of equal logits the lower class comes first. class_images and class_right
 * (classes) are added to, unless NULL. */
enum simclr_status probe_test(const struct probe *probe, struct class_score *score, size_t *class_images, size_t *class_right,
                              const float *x, const int *labels, size_t rows, const struct engine *engine, struct simclr_error *err);

#endif
