#include "train/bill.h"

#include "base/arena.h"
#include "base/memory.h"
#include "eval/knn.h"
#include "train/training.h"

/* What the program takes later than it can be asked: code and tables that have not been needed yet, stacks of threads, blocks of malloc
 * that lie apart. Measured. */
#define PROGRAM_LATER ((size_t)3 << 19)
/* Program, libraries and lists, where the system does not say what they take. */
#define PROGRAM_UNKNOWN ((size_t)8 << 20)

static size_t evaluation(const struct train_config *config, const struct run_data *data, const struct engine *engine,
                         const struct network_size *network, int micro_batch)
{
    if (!data->test || !data->bank || config->knn_every == 0)
        return 0;
    size_t bank = loader_size(data->bank), queries = loader_size(data->test), d = (size_t)network->feature_dim;
    int k = (size_t)config->knn_k < bank ? config->knn_k : (int)bank;
    size_t images = aligned_bytes(2 * (size_t)micro_batch * loader_image_floats(data->bank) * sizeof(float));
    size_t neighbours = aligned_bytes(knn_scratch(engine, queries, network->feature_dim, data->classes, k));
    return aligned_bytes((bank + queries) * d * sizeof(float)) + (bank + queries) * sizeof(int) +
           (images > neighbours ? images : neighbours);
}

static size_t loading(const struct run_data *data, const struct image_sample *sample, int batch)
{
    const struct loader *parts[] = {data->train, data->bank == data->train ? NULL : data->bank, data->test};
    size_t bytes = 0;
    for (int i = 0; i < 3; i++)
        bytes += parts[i] ? loader_scratch(parts[i], sample->h, sample->w, batch) : 0;
    return bytes;
}

enum simclr_status bill_begin(struct bill_basis *basis, const struct run_data *data, struct simclr_error *err)
{
    *basis = (struct bill_basis){.resident = memory_resident(), .available = memory_available()};
    return run_data_sample(&basis->images, data, err);
}

enum simclr_status bill_make(struct bill *bill, const struct bill_basis *basis, const struct train_config *config, const struct run_data *data,
                             const struct engine *engine, int micro_batch, struct simclr_error *err)
{
    struct network_size network;
    size_t *bytes = bill->bytes;
    *bill = (struct bill){0};
    enum simclr_status status = network_measure(&network, &config->network, engine, 2 * micro_batch, true, err);
    if (status != SIMCLR_OK)
        return status;
    struct trainer t = {.config = *config, .engine = engine, .sizes = network};
    trainer_lay_out(&t, micro_batch);
    size_t blocks = aligned_bytes(t.memory.used) + network.memory;
    bytes[BILL_WEIGHTS] = network.weights;
    bytes[BILL_GRADIENTS] = network.gradients + t.step.gradients_bytes;
    bytes[BILL_STATISTICS] = network.statistics + t.step.statistics_bytes;
    bytes[BILL_OPTIMIZER] = t.memory.used - t.step.views_bytes - t.step.loss_bytes - t.step.gradients_bytes - t.step.statistics_bytes;
    bytes[BILL_ACTIVATIONS] = network.activations;
    bytes[BILL_SCRATCH] = network.scratch;
    bytes[BILL_VIEWS] = t.step.views_bytes;
    bytes[BILL_LOSS] = t.step.loss_bytes;
    size_t listed = 0;
    for (int i = BILL_WEIGHTS; i <= BILL_LOSS; i++)
        listed += bytes[i];
    bytes[BILL_PROGRAM] = (basis->resident ? basis->resident : PROGRAM_UNKNOWN) + PROGRAM_LATER + blocks - listed;
    bytes[BILL_LOADER] = loading(data, &basis->images, config->batch_size);
    bytes[BILL_CACHE] = run_data_cached(data, config->cache, &basis->images, basis->available > blocks ? basis->available - blocks : 0);
    bytes[BILL_EVALUATION] = evaluation(config, data, engine, &network, micro_batch);
    bytes[BILL_CHECKPOINT] = network.layer_params * sizeof(float);
    return SIMCLR_OK;
}

size_t bill_phase(const struct bill *bill, enum bill_phase phase)
{
    size_t sum = phase == BILL_EVALUATING ? bill->bytes[BILL_EVALUATION] : phase == BILL_SAVING ? bill->bytes[BILL_CHECKPOINT] : 0;
    for (int i = BILL_WEIGHTS; i <= BILL_PROGRAM; i++)
        sum += bill->bytes[i];
    return sum;
}

size_t bill_peak(const struct bill *bill)
{
    size_t most = 0;
    for (enum bill_phase phase = BILL_TRAINING; phase < BILL_PHASES; phase++)
        most = bill_phase(bill, phase) > most ? bill_phase(bill, phase) : most;
    return most;
}

const char *bill_item_name(enum bill_item item)
{
    static const char *const names[] = {
        [BILL_WEIGHTS] = "weights", [BILL_GRADIENTS] = "gradients", [BILL_OPTIMIZER] = "optimizer", [BILL_STATISTICS] = "statistics",
        [BILL_ACTIVATIONS] = "activations", [BILL_SCRATCH] = "scratch", [BILL_VIEWS] = "views", [BILL_LOSS] = "loss",
        [BILL_LOADER] = "loader", [BILL_CACHE] = "cache", [BILL_PROGRAM] = "program", [BILL_EVALUATION] = "evaluation",
        [BILL_CHECKPOINT] = "checkpoint",
    };
    return names[item];
}

const char *bill_phase_name(enum bill_phase phase)
{
    static const char *const names[] = {[BILL_TRAINING] = "training", [BILL_EVALUATING] = "evaluating", [BILL_SAVING] = "saving"};
    return names[phase];
}
