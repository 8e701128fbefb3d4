/* Features h of clean images from a network in inference mode. */
#ifndef EVAL_FEATURES_H
#define EVAL_FEATURES_H

#include "data/loader.h"
#include "nn/network.h"

/* All items of loader, in order: features (loader_size, feature_dim); labels (loader_size), negative where there is none or the image is
 * broken. batch: images a pass, at most the network's max_rows. SIMCLR_ERR_CANCELLED when the loader's engine is to stop. */
enum simclr_status features_compute(struct network *network, struct loader *loader, float *features, int *labels, int batch,
                                    struct simclr_error *err);

#endif
