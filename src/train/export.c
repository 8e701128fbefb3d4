#include "train/export.h"

#include "base/status.h"
#include "io/file.h"
#include "io/number.h"
#include "train/tensor_file.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef enum simclr_status export_fn(const char *path, struct encoder *encoder, bool head, struct simclr_error *err);

/* NULL: no format has such a suffix. */
static export_fn *writer_of(const char *path)
{
    static const struct {
        const char *suffix;
        export_fn *write;
    } formats[] = {{".safetensors", export_safetensors}, {".onnx", export_onnx}};
    size_t length = strlen(path);
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        size_t tail = strlen(formats[i].suffix);
        if (length > tail && path[length - tail - 1] != '/' && strcmp(path + length - tail, formats[i].suffix) == 0)
            return formats[i].write;
    }
    return NULL;
}

enum simclr_status export_check(const char *path, struct simclr_error *err)
{
    if (!writer_of(path))
        return fail(err, SIMCLR_ERR_USAGE, "-o %.300s: the file's name must end in .safetensors or .onnx", path);
    return file_must_be_new(path, "-o", err);
}

enum simclr_status export_encoder(const char *path, struct encoder *encoder, bool head, struct simclr_error *err)
{
    enum simclr_status status = export_check(path, err);
    return status == SIMCLR_OK ? writer_of(path)(path, encoder, head, err) : status;
}

void export_input_text(char *text, size_t size, const struct network_config *network)
{
    snprintf(text, size,
             "%s, bytes / 255, without subtracting a mean or dividing by a deviation; trained on %d x %d pixels: the shorter side resized "
             "to that (bilinear, antialiased), the middle of the longer one",
             network->channels == 3 ? "RGB" : "grey", network->image_size, network->image_size);
}

void export_describe(struct export_metadata *m, const struct network_config *network)
{
    snprintf(m->arch, sizeof m->arch, "resnet%d", network->depth);
    number_json(m->width, network->width);
    snprintf(m->channels, sizeof m->channels, "%d", network->channels);
    snprintf(m->image_size, sizeof m->image_size, "%d", network->image_size);
    export_input_text(m->input, sizeof m->input, network);
    const struct safetensors_pair pairs[EXPORT_PAIRS] = {
        {"format", "pt"}, {"arch", m->arch}, {"width", m->width}, {"stem", network->stem == STEM_CIFAR ? "cifar" : "imagenet"},
        {"channels", m->channels}, {"image_size", m->image_size}, {"input", m->input}};
    memcpy(m->pairs, pairs, sizeof pairs);
}

enum simclr_status export_safetensors(const char *path, struct encoder *encoder, bool head, struct simclr_error *err)
{
    struct export_metadata metadata;
    struct tensor_group groups[2];
    struct tensor_entries tensors;
    network_groups(groups, encoder->network, head);
    enum simclr_status status = tensor_entries_make(&tensors, groups, 2, encoder->batches, path, err);
    if (status != SIMCLR_OK)
        return status;
    export_describe(&metadata, &encoder->config.network);
    status = tensor_entries_write(path, &tensors, metadata.pairs, EXPORT_PAIRS, err);
    tensor_entries_free(&tensors);
    return status;
}
