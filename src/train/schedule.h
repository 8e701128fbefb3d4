/* Learning rate per step: scaling by batch, linear warm-up, cosine decay to 0. */
#ifndef TRAIN_SCHEDULE_H
#define TRAIN_SCHEDULE_H

#include <stdint.h>

enum lr_scaling { LR_NONE, LR_LINEAR, LR_SQRT }; /* base = lr; lr * batch / 256; lr * sqrt(batch) */

double schedule_base(double lr, enum lr_scaling scaling, int batch);

/* Step t counts from 0: t < warmup: base (t + 1) / warmup; else base (1 + cos(pi (t - warmup) / (total - warmup))) / 2. */
double schedule_lr(double base, uint64_t t, uint64_t warmup, uint64_t total);

#endif
