#include "nn/plan.h"

#include <stdint.h>
#include <stdlib.h>

enum { ALIGNMENT = 64 };

static bool alive_together(const struct plan_buffer *a, const struct plan_buffer *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* Largest first; ties go by address, that is by index, so that the plan is the same everywhere. */
static int by_size(const void *pa, const void *pb)
{
    const struct plan_buffer *a = *(struct plan_buffer *const *)pa, *b = *(struct plan_buffer *const *)pb;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? 1 : -1;
    return a < b ? -1 : a > b;
}

/* placed is sorted by offset: walking up, the gap below the first buffer that leaves enough room is the lowest fit. */
static size_t lowest_fit(const struct plan_buffer *buffer, struct plan_buffer *const *placed, size_t count)
{
    size_t offset = 0;
    for (size_t i = 0; i < count; i++) {
        const struct plan_buffer *other = placed[i];
        if (!alive_together(buffer, other))
            continue;
        if (other->offset >= offset && other->offset - offset >= buffer->bytes)
            break;
        size_t end = other->offset + other->bytes;
        if (end > offset)
            offset = end;
    }
    return offset;
}

static void insert_by_offset(struct plan_buffer **placed, size_t count, struct plan_buffer *buffer)
{
    size_t i = count;
    for (; i > 0 && placed[i - 1]->offset > buffer->offset; i--)
        placed[i] = placed[i - 1];
    placed[i] = buffer;
}

int plan_offsets(size_t *total, struct plan_buffer *buffers, size_t count)
{
    *total = 0;
    size_t sum = 0; /* bounds every offset, so that nothing below can overflow */
    for (size_t i = 0; i < count; i++) {
        if (buffers[i].bytes > SIZE_MAX - ALIGNMENT)
            return -1;
        buffers[i].bytes = (buffers[i].bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        buffers[i].offset = 0;
        if (buffers[i].bytes > SIZE_MAX - sum)
            return -1;
        sum += buffers[i].bytes;
    }
    struct plan_buffer **order = calloc(2 * count + 1, sizeof *order), **placed = order + count;
    if (!order)
        return -1;
    for (size_t i = 0; i < count; i++)
        order[i] = &buffers[i];
    qsort(order, count, sizeof *order, by_size);
    for (size_t i = 0; i < count && order[i]->bytes; i++) {
        order[i]->offset = lowest_fit(order[i], placed, i);
        insert_by_offset(placed, i, order[i]);
        if (order[i]->offset + order[i]->bytes > *total)
            *total = order[i]->offset + order[i]->bytes;
    }
    free(order);
    return 0;
}

/* ---- A network's buffers ---- */

/* rows * ho * wo * k * size, or SIZE_MAX when that does not fit: plan_offsets refuses it. */
static size_t bytes_of(const struct conv_shape *s, int rows, size_t size)
{
    const size_t factors[] = {(size_t)s->ho, (size_t)s->wo, (size_t)s->k, (size_t)rows};
    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++) {
        if (factors[i] && size > SIZE_MAX / factors[i])
            return SIZE_MAX;
        size *= factors[i];
    }
    return size;
}

static void use_until(struct plan_buffer *buffer, int time)
{
    if (time > buffer->last)
        buffer->last = time;
}

static void use_from(struct plan_buffer *buffer, int time)
{
    if (time < buffer->first)
        buffer->first = time;
}

int plan_network(struct network_plan *plan, const struct resnet *net, int rows, bool training)
{
    *plan = (struct network_plan){0};
    int count = net->count, end = training ? 2 * count - 1 : count - 1;
    for (int i = 0; i < count; i++) {
        const struct node *node = &net->nodes[i];
        struct plan_buffer *slots = plan->slots[i];
        int backward = 2 * count - 1 - i;
        size_t bytes = bytes_of(&node->shape, rows, sizeof(float));
        bool kept = i == net->feature || i == count - 1;

        /* A ReLU's mask is read from the output. */
        slots[PLAN_OUT] = (struct plan_buffer){bytes, i, kept ? end : training && node->relu ? backward : i, 0};
        if (training && node->norm)
            slots[PLAN_PRE] = (struct plan_buffer){bytes, i, backward, 0};
        if (node->kind == NODE_MAXPOOL)
            slots[PLAN_WHICH] = (struct plan_buffer){bytes / sizeof(float), i, training ? backward : i, 0};
        if (training)
            slots[PLAN_GRAD] = (struct plan_buffer){bytes, i == count - 1 ? backward : end, backward, 0};

        /* A weight gradient reads the layer's input again. */
        bool weights = node->kind == NODE_CONV || node->kind == NODE_LINEAR;
        if (node->input >= 0) {
            use_until(&plan->slots[node->input][PLAN_OUT], training && weights ? backward : i);
            use_from(&plan->slots[node->input][PLAN_GRAD], backward);
        }
        if (node->residual >= 0) {
            use_until(&plan->slots[node->residual][PLAN_OUT], i);
            use_from(&plan->slots[node->residual][PLAN_GRAD], backward);
        }
    }
    return plan_offsets(&plan->bytes, &plan->slots[0][0], (size_t)count * PLAN_SLOTS);
}
