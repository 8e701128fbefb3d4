#include "train/tensor_file.h"

#include "base/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t encoder_count(const struct tensor_info *list, size_t count)
{
    while (count > 0 && (strncmp(list[count - 1].name, "head.", 5) == 0 || strncmp(list[count - 1].name, "fc.", 3) == 0))
        count--;
    return count;
}

void network_groups(struct tensor_group groups[2], struct network *network, bool head)
{
    size_t params, buffers, ignored;
    const struct tensor_info *param_list = network_param_list(network, &params), *buffer_list = network_buffer_list(network, &buffers);
    groups[0] = (struct tensor_group){"", param_list, head ? params : encoder_count(param_list, params), network_params(network, &ignored)};
    groups[1] = (struct tensor_group){"", buffer_list, head ? buffers : encoder_count(buffer_list, buffers), network_buffers(network, &ignored)};
}

struct safetensors_entry tensor_entry(const struct tensor_group *group, const struct tensor_info *info)
{
    struct safetensors_entry entry = {.type = ST_F32, .ndim = info->ndim, .bytes = info->count * sizeof(float)};
    snprintf(entry.name, sizeof entry.name, "%s%s", group->prefix, info->name);
    for (int d = 0; d < info->ndim; d++)
        entry.dims[d] = (size_t)info->dims[d];
    return entry;
}

/* ".../bn1.running_var" -> ".../bn1.num_batches_tracked". Returns false for other tensors. */
static bool batches_tracked_name(char *name, size_t size, const struct tensor_info *info)
{
    const char *suffix = "running_var";
    size_t length = strlen(info->name), tail = strlen(suffix);
    if (info->role != ROLE_RUNNING_VAR || length < tail)
        return false;
    snprintf(name, size, "%.*snum_batches_tracked", (int)(length - tail), info->name);
    return true;
}

size_t tensor_largest(const struct tensor_group *groups, size_t count)
{
    size_t most = 1;
    for (size_t g = 0; g < count; g++)
        for (size_t i = 0; i < groups[g].count; i++)
            most = groups[g].list[i].count > most ? groups[g].list[i].count : most;
    return most;
}

static void list_entries(struct tensor_entries *t, const struct tensor_group *groups, size_t count)
{
    for (size_t g = 0; g < count; g++)
        for (size_t i = 0; i < groups[g].count; i++) {
            const struct tensor_info *info = &groups[g].list[i];
            t->tensors[t->count] = info;
            t->entries[t->count] = tensor_entry(&groups[g], info);
            t->entries[t->count++].data = groups[g].memory + info->offset;
            struct safetensors_entry *next = &t->entries[t->count];
            if (batches_tracked_name(next->name, sizeof next->name, info)) {
                next->type = ST_I64; /* a scalar: no dimensions */
                next->bytes = sizeof t->batches;
                next->data = &t->batches;
                t->count++;
            }
        }
}

enum simclr_status tensor_entries_make(struct tensor_entries *t, const struct tensor_group *groups, size_t count, uint64_t batches,
                                       const char *path, struct simclr_error *err)
{
    size_t tensors = 1;
    for (size_t g = 0; g < count; g++)
        tensors += 2 * groups[g].count;
    *t = (struct tensor_entries){
        .entries = calloc(tensors, sizeof *t->entries), .tensors = calloc(tensors, sizeof *t->tensors),
        .turned = malloc(tensor_largest(groups, count) * sizeof *t->turned), .batches = (int64_t)batches,
    };
    if (!t->entries || !t->tensors || !t->turned) {
        tensor_entries_free(t);
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to write %s", path);
    }
    list_entries(t, groups, count);
    return SIMCLR_OK;
}

/* A safetensors_data_fn; ctx is a struct tensor_entries. */
static const void *turned_data(void *ctx, size_t entry)
{
    const struct tensor_entries *t = ctx;
    if (!t->tensors[entry])
        return t->entries[entry].data;
    tensor_export(t->tensors[entry], t->turned, t->entries[entry].data);
    return t->turned;
}

enum simclr_status tensor_entries_write(const char *path, struct tensor_entries *t, const struct safetensors_pair *metadata, size_t pairs,
                                        struct simclr_error *err)
{
    return safetensors_write_each(path, t->entries, t->count, metadata, pairs, turned_data, t, err);
}

void tensor_entries_free(struct tensor_entries *t)
{
    free(t->entries);
    free(t->tensors);
    free(t->turned);
    *t = (struct tensor_entries){.count = 0};
}
