/* Weights that a run begins from instead of random ones: a safetensors file's, under torchvision's names. */
#ifndef TRAIN_INIT_H
#define TRAIN_INIT_H

#include "io/safetensors.h"
#include "nn/network.h"

struct init_file {
    struct safetensors *file;
    bool head;            /* it has the whole projection head, in this network's shapes */
    uint64_t fingerprint; /* CRC-64/XZ of the tensors that will be taken; never 0 */
};

/* Checks that the file holds the network's encoder: every tensor in its shape, finite, and no block more. What else it holds is left:
 * a classifier (fc.*), an optimiser's state, a head that does not fit. init_close follows, after an error too. */
enum simclr_status init_open(struct init_file *init, const char *path, struct network *network, struct simclr_error *err);

/* Takes the encoder, and the head if it is there. */
void init_take(const struct init_file *init, struct network *network);

/* A sentence for the user: what is taken, and what is not. */
void init_text(char *text, size_t size, const struct init_file *init, const char *path, struct network *network);

void init_close(struct init_file *init);

#endif
