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
    struct plan_buffer **order = calloc(2 * count + 1, sizeof *order);
    if (!order)
        return -1;
    struct plan_buffer **placed = order + count;
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

/* Where a node's output needs a buffer of its own, and not only what it was before the norm. */
static void find_stored(bool *stored, const struct resnet *net)
{
    for (int i = 0; i < net->count; i++) {
        const struct node *node = &net->nodes[i];
        stored[i] = !node->norm || node->residual >= 0 || i == net->feature || i == net->count - 1;
        if (node->input >= 0 && node->kind != NODE_CONV)
            stored[node->input] = true;
    }
}

/* Node i's own buffers, for as long as it needs them itself. */
static void plan_node(struct plan_buffer *slots, const struct resnet *net, int i, bool stored, size_t bytes, bool training)
{
    const struct node *node = &net->nodes[i];
    int count = net->count, backward = 2 * count - 1 - i, end = training ? 2 * count - 1 : count - 1;
    bool kept = i == net->feature || i == count - 1;
    /* Backward recomputes a ReLU's mask from what lies before the norm, but where a residual was added behind it. */
    bool mask = training && node->relu && (!node->norm || node->residual >= 0);
    if (stored)
        slots[PLAN_OUT] = (struct plan_buffer){bytes, i, kept ? end : mask ? backward : i, 0};
    if (node->norm && (training || !stored))
        slots[PLAN_PRE] = (struct plan_buffer){bytes, i, training ? backward : i, 0};
    if (node->kind == NODE_MAXPOOL)
        slots[PLAN_WHICH] = (struct plan_buffer){bytes / sizeof(float), i, training ? backward : i, 0};
    if (training)
        slots[PLAN_GRAD] = (struct plan_buffer){bytes, i == count - 1 ? backward : end, backward, 0};
}

int plan_network(struct network_plan *plan, const struct resnet *net, int rows, bool training)
{
    *plan = (struct network_plan){0};
    bool stored[RESNET_MAX_NODES];
    find_stored(stored, net);
    for (int i = 0; i < net->count; i++) {
        const struct node *node = &net->nodes[i];
        int backward = 2 * net->count - 1 - i;
        plan_node(plan->slots[i], net, i, stored[i], bytes_of(&node->shape, rows, sizeof(float)), training);

        /* A weight gradient reads the layer's input again. */
        bool weights = node->kind == NODE_CONV || node->kind == NODE_LINEAR;
        if (node->input >= 0) {
            struct plan_buffer *from = plan->slots[node->input];
            use_until(&from[stored[node->input] ? PLAN_OUT : PLAN_PRE], training && weights ? backward : i);
            use_from(&from[PLAN_GRAD], backward);
        }
        if (node->residual >= 0) {
            struct plan_buffer *from = plan->slots[node->residual];
            use_until(&from[stored[node->residual] ? PLAN_OUT : PLAN_PRE], i);
            use_from(&from[PLAN_GRAD], backward);
        }
    }
    return plan_offsets(&plan->bytes, &plan->slots[0][0], (size_t)net->count * PLAN_SLOTS);
}
