#include "eval/features.h"

#include "base/arena.h"
#include "base/status.h"

#include <stdlib.h>
#include <string.h>

enum simclr_status features_compute(struct network *network, struct loader *loader, float *features, int *labels, int batch,
                                    struct simclr_error *err)
{
    size_t total = loader_size(loader), d = (size_t)network_feature_dim(network);
    float *x = alloc_aligned((size_t)batch, loader_image_floats(loader) * sizeof *x); /* (batch, S, S, C) */
    if (!x)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for %d images; use a smaller --batch-size", batch);
    enum simclr_status status = SIMCLR_OK;
    for (size_t first = 0; first < total && status == SIMCLR_OK; first += (size_t)batch) {
        int rows = total - first < (size_t)batch ? (int)(total - first) : batch;
        status = loader_clean(loader, x, labels + first, first, rows, err);
        if (status == SIMCLR_OK) {
            const float *h;
            network_forward(network, x, rows, false, &h, NULL);
            memcpy(features + first * d, h, (size_t)rows * d * sizeof *features);
        }
    }
    free(x);
    return status;
}
