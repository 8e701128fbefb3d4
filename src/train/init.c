#include "train/init.h"

#include "base/crc64.h"
#include "base/status.h"
#include "train/tensor_file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Checking ---- */

static bool same_shape(const struct safetensors_entry *a, const struct safetensors_entry *b)
{
    return a->type == b->type && a->ndim == b->ndim && memcmp(a->dims, b->dims, (size_t)b->ndim * sizeof b->dims[0]) == 0;
}

enum { SHAPE_TEXT = 128 };

/* "64 x 3 x 7 x 7" */
static const char *shape_text(char text[SHAPE_TEXT], const struct safetensors_entry *e)
{
    int n = 0;
    snprintf(text, SHAPE_TEXT, "a single number");
    for (int d = 0; d < e->ndim && n < SHAPE_TEXT; d++)
        n += snprintf(text + n, (size_t)(SHAPE_TEXT - n), "%s%zu", d ? " x " : "", e->dims[d]);
    return text;
}

static enum simclr_status check_tensor(const char *path, const struct safetensors *file, const struct tensor_group *group,
                                       const struct tensor_info *info, struct simclr_error *err)
{
    const struct safetensors_entry want = tensor_entry(group, info), *e = safetensors_find(file, want.name);
    char has[SHAPE_TEXT], wants[SHAPE_TEXT];
    if (!e)
        return fail(err, SIMCLR_ERR_USAGE, "--init %.200s has no tensor %s; choose the --arch of its ResNet, whose tensors must have "
                    "torchvision's names", path, want.name);
    if (e->type != ST_F32)
        return fail(err, SIMCLR_ERR_USAGE, "--init %.200s: tensor %s is not of type F32; save it as 32-bit floats", path, want.name);
    if (!same_shape(e, &want))
        return fail(err, SIMCLR_ERR_USAGE, "--init %.200s: tensor %s is %s, and here %s; choose the file's --arch, --width, --stem and --channels",
                    path, want.name, shape_text(has, e), shape_text(wants, &want));
    const float *values = e->data;
    for (size_t i = 0; i < info->count; i++)
        if (!isfinite(values[i]) || (info->role == ROLE_RUNNING_VAR && values[i] < 0))
            return fail(err, SIMCLR_ERR_FORMAT, "--init %.200s: tensor %s holds %s", path, want.name,
                        isfinite(values[i]) ? "a variance below 0" : "values that are not finite numbers");
    return SIMCLR_OK;
}

static enum simclr_status check_groups(const char *path, const struct safetensors *file, const struct tensor_group groups[2],
                                       struct simclr_error *err)
{
    enum simclr_status status = SIMCLR_OK;
    for (int g = 0; g < 2; g++)
        for (size_t i = 0; i < groups[g].count && status == SIMCLR_OK; i++)
            status = check_tensor(path, file, &groups[g], &groups[g].list[i], err);
    return status;
}

static bool begins(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static bool counts_batches(const char *name)
{
    static const char end[] = "num_batches_tracked";
    size_t length = strlen(name), tail = sizeof end - 1;
    return length >= tail && strcmp(name + length - tail, end) == 0;
}

static bool is_of(const struct tensor_group groups[2], const char *name)
{
    for (int g = 0; g < 2; g++)
        for (size_t i = 0; i < groups[g].count; i++)
            if (strcmp(groups[g].list[i].name, name) == 0)
                return true;
    return false;
}

/* ResNet-34 has every tensor of ResNet-18, in the same shapes. */
static enum simclr_status check_no_more(const char *path, const struct safetensors *file, const struct tensor_group groups[2],
                                        struct simclr_error *err)
{
    for (size_t i = 0; i < safetensors_count(file); i++) {
        const char *name = safetensors_at(file, i)->name;
        if (begins(name, "layer") && !counts_batches(name) && !is_of(groups, name))
            return fail(err, SIMCLR_ERR_USAGE, "--init %.200s has a tensor %s, and this network has not; choose the --arch of its ResNet", path, name);
    }
    return SIMCLR_OK;
}

static uint64_t fingerprint_of(const struct safetensors *file, const struct tensor_group groups[2])
{
    struct crc64 crc;
    crc64_begin(&crc);
    for (int g = 0; g < 2; g++)
        for (size_t i = 0; i < groups[g].count; i++) {
            const struct safetensors_entry *e = safetensors_find(file, groups[g].list[i].name);
            crc64_add(&crc, e->name, strlen(e->name));
            crc64_add(&crc, e->data, e->bytes);
        }
    uint64_t fingerprint = crc64_end(&crc);
    return fingerprint ? fingerprint : 1;
}

enum simclr_status init_open(struct init_file *init, const char *path, struct network *network, struct simclr_error *err)
{
    struct tensor_group encoder[2], all[2];
    *init = (struct init_file){.file = NULL};
    network_groups(encoder, network, false);
    network_groups(all, network, true);
    enum simclr_status status = safetensors_open(&init->file, path, err);
    if (status == SIMCLR_OK)
        status = check_groups(path, init->file, encoder, err);
    if (status == SIMCLR_OK)
        status = check_no_more(path, init->file, encoder, err);
    if (status != SIMCLR_OK)
        return status;
    init->head = check_groups(path, init->file, all, NULL) == SIMCLR_OK;
    init->fingerprint = fingerprint_of(init->file, init->head ? all : encoder);
    return SIMCLR_OK;
}

void init_close(struct init_file *init)
{
    safetensors_close(init->file);
    init->file = NULL;
}

/* ---- Taking ---- */

void init_take(const struct init_file *init, struct network *network)
{
    struct tensor_group groups[2];
    network_groups(groups, network, init->head);
    for (int g = 0; g < 2; g++)
        for (size_t i = 0; i < groups[g].count; i++) {
            const struct tensor_info *info = &groups[g].list[i];
            tensor_import(info, groups[g].memory + info->offset, safetensors_find(init->file, info->name)->data);
        }
}

void init_text(char *text, size_t size, const struct init_file *init, const char *path, struct network *network)
{
    struct tensor_group groups[2];
    const char *first = NULL, *last = NULL; /* that are left */
    size_t left = 0;
    network_groups(groups, network, init->head);
    for (size_t i = 0; i < safetensors_count(init->file); i++) {
        const char *name = safetensors_at(init->file, i)->name;
        if (counts_batches(name) || is_of(groups, name))
            continue;
        first = first ? first : name;
        last = name;
        left++;
    }
    int n = snprintf(text, size, "beginning with the encoder%s of %.300s", init->head ? " and the projection head" : "", path);
    if (left > 0 && n >= 0 && (size_t)n < size)
        snprintf(text + n, size - (size_t)n, "; not used: %s%s%s", first, left > 2 ? ", ..., " : left > 1 ? ", " : "", left > 1 ? last : "");
}
