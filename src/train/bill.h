/* What a run will take of memory, before it takes it.
 *
 * The code that lays memory out is run on arenas that only measure (base/arena.h), so that there is no second formula that could
 * differ. What malloc serves outside of any plan (decoded images, what a checkpoint copies) is counted by what asks for it. */
#ifndef TRAIN_BILL_H
#define TRAIN_BILL_H

#include "train/run_data.h"

enum bill_item {
    /* as long as the run lasts */
    BILL_WEIGHTS,
    BILL_GRADIENTS,
    BILL_OPTIMIZER,
    BILL_STATISTICS,  /* of norms: running ones and their copy, those of the batch */
    BILL_ACTIVATIONS, /* and their gradients */
    BILL_SCRATCH,     /* of layers: alone in growing with threads, and in depending on the ISA */
    BILL_VIEWS,
    BILL_LOSS,        /* similarities, and gradients of the projections */
    BILL_LOADER,      /* decoding, augmenting, lists */
    BILL_CACHE,       /* decoded images; --cache auto gives way where memory is short */
    BILL_PROGRAM,     /* with its libraries, and the list of the images */
    /* now and then, not at once */
    BILL_EVALUATION,  /* images, features and neighbours of a kNN evaluation */
    BILL_CHECKPOINT,  /* a copy of the largest tensor, as it is written, or read when the run is resumed */
    BILL_ITEMS,
};

enum bill_phase { BILL_TRAINING, BILL_EVALUATING, BILL_SAVING, BILL_PHASES };

struct bill {
    size_t bytes[BILL_ITEMS];
};

/* What is found out once, however many bills are made. */
struct bill_basis {
    size_t resident; /* of this process, which has opened the data and nothing else; 0: unknown */
    size_t available; /* bytes that it may still take; 0: unknown. Decides what --cache auto keeps */
    struct image_sample images;
};

/* Right after run_data_open. Reads a few images. */
enum simclr_status bill_begin(struct bill_basis *basis, const struct run_data *data, struct simclr_error *err);

/* The bill of config, which run_data_open has resolved, on that data. micro_batch: images that go through the network at once,
 * batch_size where all do. Allocates next to nothing, and takes a millisecond. */
enum simclr_status bill_make(struct bill *bill, const struct bill_basis *basis, const struct train_config *config, const struct run_data *data,
                             const struct engine *engine, int micro_batch, struct simclr_error *err);

/* Resident memory in a phase, and the most of any. */
size_t bill_phase(const struct bill *bill, enum bill_phase phase);
size_t bill_peak(const struct bill *bill);

const char *bill_item_name(enum bill_item item);    /* "weights" */
const char *bill_phase_name(enum bill_phase phase); /* "training" */

#endif
