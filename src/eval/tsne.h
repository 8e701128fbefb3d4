/* A map of an embedding that keeps neighbours together: exact t-SNE (van der Maaten and Hinton 2008) in the plane. */
#ifndef EVAL_TSNE_H
#define EVAL_TSNE_H

#include "base/engine.h"
#include "simclr/status.h"

#include <stddef.h>

/* Time and memory grow with the square of the images; so many take one to two seconds, and 17 MB. */
enum { TSNE_PLANE = 2, TSNE_MOST = 2000 };

/* x (rows, d) of length 1: places (rows, 2), given where to begin, as pca_plane's, become the map's, and *divergence, unless NULL, what
 * the map has of the Kullback-Leibler divergence that it seeks to lower. Perplexity 30, or (rows - 1) / 3 where that is less; early
 * exaggeration 12 and momentum 0.5 for 250 of 1,000 steps, then 0.8; learning rate rows / 48, at least 10: but for the last, what
 * scikit-learn does by default. The same bits on every ISA and for every number of threads. SIMCLR_ERR_CANCELLED when the engine is to stop. */
enum simclr_status tsne_plane(double *places, double *divergence, const float *x, size_t rows, int d, const struct engine *engine,
                              struct simclr_error *err);

/* ---- Its parts, for tests ---- */

struct tsne {
    const struct engine *engine;
    size_t rows, panels; /* panels of TSNE_POINTS points */
    float *x, *y;        /* (panels TSNE_POINTS) */
    float *p;            /* (panels, rows, TSNE_POINTS): affinity of any point to the panel's, 1 in all */
    float *forces;       /* (panels, TSNE_SUMS, TSNE_POINTS) */
};

/* Memory, and affinities of the features x (rows >= 2, d), whose perplexity is reached to 1e-5 of its logarithm where it can be. */
enum simclr_status tsne_begin(struct tsne *tsne, const float *x, size_t rows, int d, double perplexity, const struct engine *engine,
                              struct simclr_error *err);
/* gradient (rows, 2) of the divergence at the points of tsne, its attraction times `exaggeration`. */
void tsne_gradient(double *gradient, struct tsne *tsne, double exaggeration);
/* After tsne_gradient, at the same points. */
enum simclr_status tsne_divergence(double *divergence, const struct tsne *tsne, struct simclr_error *err);
void tsne_free(struct tsne *tsne);

#endif
