/* What a run will take, before it is begun: steps, memory, and time as a short measurement on this machine tells it. */
#ifndef TRAIN_FORECAST_H
#define TRAIN_FORECAST_H

#include "train/bill.h"

/* What can be known without computing. */
struct forecast {
    struct train_config config; /* resolved */
    const struct engine *engine;
    struct run_data data;
    struct bill_basis basis;
    struct bill bill;
    uint64_t steps_per_epoch, steps;
};

/* Opens the data that config names. forecast_close follows, after an error too. */
enum simclr_status forecast_open(struct forecast *forecast, const struct train_config *config, const struct engine *engine,
                                 struct simclr_error *err);
void forecast_close(struct forecast *forecast);

#endif
