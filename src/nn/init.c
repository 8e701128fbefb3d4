#include "nn/resnet.h"

#include "base/par.h"
#include "base/rng.h"

#include <math.h>

/* A weight in memory is (taps, in, out), in torch's order (out, in, taps); a vector is (out). */
struct weight_dims {
    size_t out, in, taps;
};

static struct weight_dims weight_dims(const struct tensor_info *info)
{
    return (struct weight_dims){(size_t)info->dims[0], info->ndim > 1 ? (size_t)info->dims[1] : 1,
                                info->ndim > 2 ? (size_t)info->dims[2] * (size_t)info->dims[3] : 1};
}

void tensor_export(const struct tensor_info *info, float *file, const float *memory)
{
    struct weight_dims d = weight_dims(info);
    for (size_t k = 0; k < d.out; k++)
        for (size_t c = 0; c < d.in; c++)
            for (size_t t = 0; t < d.taps; t++)
                *file++ = memory[(t * d.in + c) * d.out + k];
}

void tensor_import(const struct tensor_info *info, float *memory, const float *file)
{
    struct weight_dims d = weight_dims(info);
    for (size_t k = 0; k < d.out; k++)
        for (size_t c = 0; c < d.in; c++)
            for (size_t t = 0; t < d.taps; t++)
                memory[(t * d.in + c) * d.out + k] = *file++;
}

/* He-normal with fan out: He et al., "Delving deep into rectifiers", 2015, as kaiming_normal_(mode="fan_out"). */
static void draw_normal(float *memory, const struct tensor_info *info, struct rng rng)
{
    struct weight_dims d = weight_dims(info);
    float std = (float)sqrt(2.0 / ((double)d.out * (double)d.taps));
    for (size_t k = 0; k < d.out; k++)
        for (size_t c = 0; c < d.in; c++)
            for (size_t t = 0; t < d.taps; t++)
                memory[(t * d.in + c) * d.out + k] = std * rng_normal(&rng);
}

static void draw_uniform(float *memory, const struct tensor_info *info, float bound, struct rng rng)
{
    struct weight_dims d = weight_dims(info);
    for (size_t k = 0; k < d.out; k++)
        for (size_t c = 0; c < d.in; c++)
            for (size_t t = 0; t < d.taps; t++)
                memory[(t * d.in + c) * d.out + k] = rng_uniform(&rng, -bound, bound);
}

static void fill(float *memory, const struct tensor_info *info, float value)
{
    for (size_t i = 0; i < info->count; i++)
        memory[i] = value;
}

struct init_job {
    float *params, *buffers;
    const struct resnet *net;
    uint64_t seed;
};

static void init_node(void *ctx, size_t index, int thread)
{
    (void)thread;
    const struct init_job *job = ctx;
    const struct node *node = &job->net->nodes[index];
    const struct tensor_info *params = job->net->params, *buffers = job->net->buffers;
    if (node->kind == NODE_CONV)
        draw_normal(job->params + params[node->weight].offset, &params[node->weight],
                    rng_stream(job->seed, RNG_INIT, (uint32_t)node->weight, 0));
    if (node->kind == NODE_LINEAR) {
        float bound = (float)(1.0 / sqrt((double)node->shape.c));
        draw_uniform(job->params + params[node->weight].offset, &params[node->weight], bound,
                     rng_stream(job->seed, RNG_INIT, (uint32_t)node->weight, 0));
        draw_uniform(job->params + params[node->bias].offset, &params[node->bias], bound,
                     rng_stream(job->seed, RNG_INIT, (uint32_t)node->bias, 0));
    }
    if (node->norm) {
        int gain = node->gain, mean = node->running;
        fill(job->params + params[gain].offset, &params[gain], node->zero_gain ? 0.0f : 1.0f);
        fill(job->params + params[gain + 1].offset, &params[gain + 1], 0.0f);
        fill(job->buffers + buffers[mean].offset, &buffers[mean], 0.0f);
        fill(job->buffers + buffers[mean + 1].offset, &buffers[mean + 1], 1.0f);
    }
}

void resnet_init(float *params, float *buffers, const struct resnet *net, const struct engine *engine, uint64_t seed)
{
    struct init_job job = {params, buffers, net, seed};
    par_for(engine->threads, (size_t)net->count, init_node, &job);
}
