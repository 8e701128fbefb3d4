#include "nn/pool.h"

#include "base/par.h"
#include "simd/kernels.h"

#include <stddef.h>

struct pool {
    const struct kernels *kernels;
    int h, w, c;
    size_t in, out; /* floats an image */
    float *y, *dx;
    const float *x, *dy;
    uint8_t *which;
    const uint8_t *chosen;
};

static struct pool pool(const struct engine *engine, int h, int w, int c)
{
    return (struct pool){.kernels = engine->kernels, .h = h, .w = w, .c = c, .in = (size_t)h * w * c,
                         .out = (size_t)((h + 1) / 2) * ((w + 1) / 2) * c};
}

static void max_image(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct pool *p = ctx;
    p->kernels->maxpool(p->y + i * p->out, p->which + i * p->out, p->x + i * p->in, p->h, p->w, p->c);
}

void maxpool_forward(const struct engine *engine, float *y, uint8_t *which, const float *x, int n, int h, int w, int c)
{
    struct pool p = pool(engine, h, w, c);
    p.y = y;
    p.which = which;
    p.x = x;
    par_for(engine->threads, n, max_image, &p);
}

static void max_backward_image(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct pool *p = ctx;
    p->kernels->maxpool_backward(p->dx + i * p->in, p->dy + i * p->out, p->chosen + i * p->out, p->h, p->w, p->c);
}

void maxpool_backward(const struct engine *engine, float *dx, const float *dy, const uint8_t *which, int n, int h, int w, int c)
{
    struct pool p = pool(engine, h, w, c);
    p.dx = dx;
    p.dy = dy;
    p.chosen = which;
    par_for(engine->threads, n, max_backward_image, &p);
}

static void average_image(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct pool *p = ctx;
    p->kernels->avgpool(p->y + i * p->c, p->x + i * p->in, p->h * p->w, p->c);
}

void avgpool_forward(const struct engine *engine, float *y, const float *x, int n, int pixels, int c)
{
    struct pool p = pool(engine, 1, pixels, c);
    p.y = y;
    p.x = x;
    par_for(engine->threads, n, average_image, &p);
}

static void average_backward_image(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct pool *p = ctx;
    p->kernels->avgpool_backward(p->dx + i * p->in, p->dy + i * p->c, p->h * p->w, p->c);
}

void avgpool_backward(const struct engine *engine, float *dx, const float *dy, int n, int pixels, int c)
{
    struct pool p = pool(engine, 1, pixels, c);
    p.dx = dx;
    p.dy = dy;
    par_for(engine->threads, n, average_backward_image, &p);
}
