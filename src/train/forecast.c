#include "train/forecast.h"

#include "train/memory_limit.h"
#include "train/trainer_internal.h"

enum simclr_status forecast_open(struct forecast *f, const struct train_config *config, const struct engine *engine,
                                 struct simclr_error *err)
{
    *f = (struct forecast){.config = *config, .engine = engine};
    enum simclr_status status = run_data_open(&f->data, &f->config, engine, err);
    if (status != SIMCLR_OK)
        return status;
    struct trainer t = {.config = f->config, .engine = engine, .data = f->data};
    status = trainer_plan_steps(&t, err);
    f->steps_per_epoch = t.steps_per_epoch;
    f->steps = t.steps;
    if (status == SIMCLR_OK)
        status = bill_begin(&f->basis, &f->data, err);
    size_t for_cache;
    if (status == SIMCLR_OK)
        status = memory_limit_apply(&f->config, false, &for_cache, &f->data, engine, err);
    int micro_batch = step_pass_images(&f->config, f->config.batch_size);
    if (status == SIMCLR_OK)
        status = bill_make(&f->bill, &f->basis, &f->config, &f->data, engine, micro_batch, err);
    return status;
}

void forecast_close(struct forecast *f)
{
    run_data_close(&f->data);
}
