/* Classification: softmax and cross-entropy of logits. Exponentials and sums in double, in the order of classes; the losses of fixed
 * slices of rows are added in order. The same bits on every machine. */
#ifndef NN_CROSS_ENTROPY_H
#define NN_CROSS_ENTROPY_H

#include "base/engine.h"

#include <stddef.h>

/* p (classes) = softmax of logits, which may be p; returns the logarithm of the sum of their exponentials, NaN or infinity if they are not
 * all finite. */
double softmax(float *p, const float *logits, int classes);

/* Returns the sum over rows of -ln softmax(logits)[label]; logits (rows, classes) become its gradient, softmax - one-hot. labels (rows)
 * lie in [0, classes). scratch: cross_entropy_scratch bytes. */
size_t cross_entropy_scratch(size_t rows);
double cross_entropy(const struct engine *engine, float *logits, const int *labels, size_t rows, int classes, void *scratch);

/* How many classes come before the label's; of equal logits the lower class comes first, and NaN before all. */
int class_rank(const float *logits, int label, int classes);

/* How a classifier does on labelled images. */
struct class_score {
    size_t images, right, in_five;
};
void class_score_add(struct class_score *score, int rank);

#endif
