#include "nn/cross_entropy.h"

#include "base/fmath.h"
#include "base/par.h"

enum { SLICE = 64 }; /* rows whose losses make one sum */

double softmax(float *p, const float *logits, int classes)
{
    double most = logits[0], sum = 0;
    for (int c = 1; c < classes; c++)
        most = logits[c] > most ? logits[c] : most;
    for (int c = 0; c < classes; c++) {
        double e = fm_exp(logits[c] - most);
        sum += e;
        p[c] = (float)e;
    }
    for (int c = 0; c < classes; c++)
        p[c] = (float)(p[c] / sum);
    return fm_log(sum) + most;
}

static size_t slices(size_t rows) { return (rows + SLICE - 1) / SLICE; }

size_t cross_entropy_scratch(size_t rows)
{
    return slices(rows) * sizeof(double);
}

struct pass {
    float *logits;
    const int *labels;
    size_t rows;
    int classes;
    double *losses; /* (slices) */
};

static void slice_losses(void *ctx, size_t slice, int thread)
{
    (void)thread;
    const struct pass *p = ctx;
    size_t first = slice * SLICE, end = p->rows - first < SLICE ? p->rows : first + SLICE;
    double loss = 0;
    for (size_t i = first; i < end; i++) {
        float *z = p->logits + i * (size_t)p->classes, at_label = z[p->labels[i]];
        loss += softmax(z, z, p->classes) - at_label;
        z[p->labels[i]] -= 1;
    }
    p->losses[slice] = loss;
}

double cross_entropy(const struct engine *engine, float *logits, const int *labels, size_t rows, int classes, void *scratch)
{
    struct pass p = {logits, labels, rows, classes, scratch};
    double loss = 0;
    par_for(engine->threads, slices(rows), slice_losses, &p);
    for (size_t i = 0; i < slices(rows); i++)
        loss += p.losses[i];
    return loss;
}

int class_rank(const float *logits, int label, int classes)
{
    int rank = 0;
    for (int c = 0; c < classes; c++)
        rank += c != label && !(logits[c] < logits[label] || (c > label && logits[c] == logits[label]));
    return rank;
}

void class_score_add(struct class_score *score, int rank)
{
    score->images++;
    score->right += rank == 0;
    score->in_five += rank < 5;
}
