/* What a run will take, before it is begun: steps, memory, and time as a short measurement on this machine tells it. */
#ifndef TRAIN_FORECAST_H
#define TRAIN_FORECAST_H

#include "nn/resnet.h"
#include "train/bill.h"

struct forecast {
    struct train_config config; /* resolved */
    const struct engine *engine;
    struct run_data data;
    struct bill_basis basis;
    struct bill bill;
    size_t for_cache; /* bytes that decoded images may take, by --memory */
    uint64_t steps_per_epoch, steps;
    struct resnet net;
};

/* What can be known without computing. Opens the data that config names; forecast_close follows, after an error too. */
enum simclr_status forecast_open(struct forecast *forecast, const struct train_config *config, const struct engine *engine,
                                 struct simclr_error *err);
void forecast_close(struct forecast *forecast);

/* Seconds. */
struct forecast_times {
    int images;          /* of the steps that were measured; batch_size if those were whole ones */
    double compute, optimizer, data; /* of a step: passes and loss, the optimiser, and making the views */
    double flop_per_second, fma_peak; /* of a step, counted as direct convolution; what FMAs alone reach, or 0 */
    double epoch, first_epoch;       /* of steps alone; the first may decode images that later ones find in memory */
    double evaluation;               /* a kNN evaluation; 0: none */
    double total;                    /* of the run; checkpoints are not counted */
    struct node_time nodes[RESNET_MAX_NODES]; /* of net's nodes, in a step */
};

/* Runs steps of this network on these images for about two seconds: whole ones if they are short, else of fewer images, which also
 * serves where a whole one has no room. */
enum simclr_status forecast_measure(struct forecast *forecast, struct forecast_times *times, struct simclr_error *err);

#endif
