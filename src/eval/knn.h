/* k-nearest-neighbour classification of frozen features (Wu et al. 2018): cosine, votes weighted by exp(cos / T). */
#ifndef EVAL_KNN_H
#define EVAL_KNN_H

#include "base/engine.h"
#include "simclr/status.h"

#include <stddef.h>

/* bank (bank_rows, d) and query (query_rows, d) features, not normalised (both are L2-normalised in place). Labels are 0..classes-1;
 * rows with label -1 are left out. k is cut to the bank's size; ties of similarity go to the lower bank index, ties of votes to the
 * lower class. *accuracy is the share of queries right. SIMCLR_ERR_CANCELLED when the engine is to stop. */
enum simclr_status knn_classify(const struct engine *engine, double *accuracy, float *bank, const int *bank_labels,
                                size_t bank_rows, float *query, const int *query_labels, size_t query_rows, int d, int classes,
                                int k, double temperature, struct simclr_error *err);

/* The same for every k of ks (k_count, ascending) with every temperature: accuracy (k_count, temperature_count). Neighbours are searched
 * once. */
enum simclr_status knn_sweep(const struct engine *engine, double *accuracy, float *bank, const int *bank_labels, size_t bank_rows,
                             float *query, const int *query_labels, size_t query_rows, int d, int classes, const int *ks, int k_count,
                             const double *temperatures, int temperature_count, struct simclr_error *err);

/* Bytes that it takes meanwhile, at most. */
size_t knn_scratch(const struct engine *engine, size_t query_rows, int d, int classes, int k);

#endif
