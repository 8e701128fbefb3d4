/* The contrastive loss and its gradient, on embeddings of your own: here random ones, moved against the gradient until the two views of each
 * image have found each other.
 *
 *     cc nt_xent.c $(pkg-config --cflags --libs simclr) && ./a.out */
#include <simclr/simclr.h>

#include <stdio.h>
#include <stdlib.h>

enum { IMAGES = 64, ROWS = 2 * IMAGES, DIM = 32 };

int main(void)
{
    static float z[ROWS * DIM], dz[ROWS * DIM]; /* row i and row i + IMAGES: the two views of image i */
    struct simclr_error err;
    simclr_engine *engine;
    if (simclr_engine_create(&engine, "auto", 0, &err) != SIMCLR_OK) {
        fprintf(stderr, "nt_xent: %s\n", err.text);
        return 1;
    }
    srand(1);
    for (int i = 0; i < ROWS * DIM; i++)
        z[i] = (float)rand() / (float)RAND_MAX - 0.5f;

    double first = 0, loss = 0;
    for (int step = 0; step < 200; step++) {
        if (simclr_nt_xent(engine, &loss, dz, z, ROWS, DIM, 0.5f, &err) != SIMCLR_OK) {
            fprintf(stderr, "nt_xent: %s\n", err.text);
            simclr_engine_free(engine);
            return 1;
        }
        if (step == 0)
            first = loss;
        for (int i = 0; i < ROWS * DIM; i++)
            z[i] -= 10 * dz[i];
    }
    printf("%s kernels: loss %.4f at first, %.4f after 200 steps\n", simclr_engine_isa(engine), first, loss);
    simclr_engine_free(engine);
    return loss < first - 1 ? 0 : 1;
}
