/* Fine-tuning on a share of the labels, SimCLR's semi-supervised protocol (Chen et al. 2020): the whole encoder and a linear classifier on
 * h are trained with cross-entropy by SGD with Nesterov's momentum 0.9, at a rate of 0.05 batch / 256 that falls along a cosine, without
 * warm-up or weight decay, on random crops and flips. Norms train too. The classifier begins at 0, as in the authors' code. */
#ifndef TRAIN_FINETUNE_H
#define TRAIN_FINETUNE_H

#include "base/arena.h"
#include "data/image_progress.h"
#include "nn/cross_entropy.h"
#include "train/encoder_data.h"

struct finetune_options {
    double labels;  /* percent of each class's images that are trained on, at least one of each; above 0, to 100 */
    int batch_size; /* no more than there are images */
    int epochs;     /* 0: 60 below 10 % of the labels, else 30 */
    double lr;      /* times batch / 256 */
    uint64_t seed;  /* which images, their order, the crops */
    bool untrained; /* from the random weights of the seed of the encoder's run, whatever its --init */
};

struct finetune {
    struct finetune_options options;
    struct train_config settings;  /* of this training, as if it were a run's */
    const struct encoder *encoder;
    const struct engine *engine;
    struct run_data data;          /* train and bank: the chosen images */
    size_t images, fewest, most;   /* chosen; of a class that has any */
    int classes;
    char **names;                  /* (classes) */
    struct network *network;
    struct arena memory;
    float *x, *logits, *momentum;  /* (batch, S, S, C); (batch, classes); (params) */
    int *labels;                   /* (batch) */
    void *scratch;                 /* of the loss */
    uint64_t step, steps, steps_per_epoch;
};

/* Chooses the images by seed, the fewer labels a part of the more, and takes the encoder's weights; encoder's own network is not needed
 * any more. finetune_close follows, after an error too. */
enum simclr_status finetune_open(struct finetune *f, const struct encoder *encoder, const struct image_source *source,
                                 const struct finetune_options *options, const struct engine *engine, struct simclr_error *err);
void finetune_close(struct finetune *f);

struct finetune_progress {
    int epoch, epochs; /* from 1 */
    uint64_t step, steps;
    double loss, accuracy; /* means over the epoch so far, of views as they were trained on */
    double lr;             /* of the last step */
    double images_per_second, eta_seconds;
};

struct finetune_report {
    void (*step)(void *ctx, const struct finetune_progress *progress, bool epoch_done); /* after each; NULL: nobody looks */
    image_report_fn *images; /* of the test */
    void *ctx;
};

struct finetune_result {
    int classes;
    struct finetune_progress last;
    struct class_score test; /* of the labelled test images, once, at the end */
    size_t broken;           /* images that could not be read */
};

/* Trains, tests, and leaves the folder output: classifier.safetensors (train/classifier.h), classes.txt (a name a line), config.json,
 * metrics.jsonl (a line an epoch, the last with the test) and, if images could not be read, broken.txt. It is called output.tmp until it
 * is whole; after an error, or when stopped, there is none. What is there already is refused. */
enum simclr_status finetune_train(struct finetune *f, const char *output, const struct finetune_report *report,
                                  struct finetune_result *result, struct simclr_error *err);

#endif
