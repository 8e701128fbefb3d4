#include "train/schedule.h"

#include "base/fmath.h"

#include <math.h>

double schedule_base(double lr, enum lr_scaling scaling, int batch)
{
    switch (scaling) {
    case LR_LINEAR: return lr * batch / 256.0;
    case LR_SQRT: return lr * sqrt((double)batch);
    case LR_NONE: break;
    }
    return lr;
}

double schedule_lr(double base, uint64_t t, uint64_t warmup, uint64_t total)
{
    if (t < warmup)
        return base * ((double)t + 1.0) / (double)warmup;
    if (t >= total)
        return 0.0;
    double progress = (double)(t - warmup) / (double)(total - warmup);
    return base * 0.5 * (1.0 + fm_cos(3.14159265358979323846 * progress));
}
