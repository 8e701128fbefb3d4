#include "nn/watch.h"

#include <math.h>

static void add(struct watched *t, float x)
{
    bool first = t->count == t->nan + t->infinite;
    t->count++;
    if (isnan(x))
        t->nan++;
    else if (isinf(x))
        t->infinite++;
    else {
        t->min = first || x < t->min ? x : t->min;
        t->max = first || x > t->max ? x : t->max;
    }
    t->wrong |= !isfinite(x);
}

void watch_values(struct watched *tensor, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        add(tensor, x[i]);
}

void watch_input(struct watched *tensor, const struct conv_input *input, size_t rows, int c)
{
    for (size_t i = 0; i < rows; i++)
        for (int j = 0; j < c; j++)
            add(tensor, fmaf(input->x[i * (size_t)c + (size_t)j] - input->mean[j], input->scale[j], input->shift[j]));
}
