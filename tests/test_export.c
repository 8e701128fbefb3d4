/* Exported encoders, read back: the tensors of .safetensors, and .onnx graphs computed here operator by operator. What torchvision,
 * onnx and onnxruntime make of them is seen by tests/export_test.py. */
#include "train/export.h"

#include "base/engine.h"
#include "io/file.h"
#include "io/safetensors.h"
#include "protobuf.h"
#include "tests/harness.h"
#include "tests/temp_files.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 2, STEPS_TRAINED = 7 };

static char *folder;
static struct simclr_error err;
static struct encoder encoder;

static void begin(void)
{
    folder = temp_folder();
}

static void end(void)
{
    encoder_close(&encoder);
    temp_remove(folder);
}

TestSuite(export, .init = begin, .fini = end);

/* An encoder as if it were trained: norms with gains, shifts and statistics of their own. */
static void make_encoder(struct network_config config)
{
    const struct engine engine = {.kernels = isa_resolve("auto"), .threads = 1};
    encoder = (struct encoder){.config.network = config, .step = STEPS_TRAINED, .batches = STEPS_TRAINED};
    cr_assert_eq(network_create(&encoder.network, &config, &engine, ROWS, false, &err), SIMCLR_OK, "%s", err.text);
    size_t params, buffers, ignored;
    const struct tensor_info *param = network_param_list(encoder.network, &params), *buffer = network_buffer_list(encoder.network, &buffers);
    float *p = network_params(encoder.network, &ignored), *b = network_buffers(encoder.network, &ignored);
    for (size_t i = 0; i < params; i++)
        if (param[i].role == ROLE_NORM_GAIN || param[i].role == ROLE_NORM_BIAS) {
            fill_random(p + param[i].offset, param[i].count, i);
            for (size_t j = 0; j < param[i].count && param[i].role == ROLE_NORM_GAIN; j++)
                p[param[i].offset + j] += 1.5f;
        }
    for (size_t i = 0; i < buffers; i++) {
        fill_random(b + buffer[i].offset, buffer[i].count, i);
        for (size_t j = 0; j < buffer[i].count && buffer[i].role == ROLE_RUNNING_VAR; j++)
            b[buffer[i].offset + j] += 1.5f;
    }
}

static const struct network_config small = {.depth = 18, .width = 0.25, .stem = STEM_CIFAR, .channels = 3, .image_size = 8, .head_layers = 2, .out_dim = 5};

static const char *export_to(const char *name, bool head)
{
    const char *path = temp_path(folder, "%s", name);
    cr_assert_eq(export_encoder(path, &encoder, head, &err), SIMCLR_OK, "%s", err.text);
    return path;
}

static bool same_bytes(const char *a, const char *b)
{
    void *x, *y;
    size_t n, m;
    cr_assert_eq(file_read(&x, &n, a, 1 << 28, &err), SIMCLR_OK, "%s", err.text);
    cr_assert_eq(file_read(&y, &m, b, 1 << 28, &err), SIMCLR_OK, "%s", err.text);
    bool same = n == m && memcmp(x, y, n) == 0;
    free(x);
    free(y);
    return same;
}

/* ---- safetensors ---- */

/* Those of the list that are in the file, each as torch has it. */
static size_t count_tensors(const struct safetensors *file, const struct tensor_info *list, size_t count, const float *memory)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        const struct safetensors_entry *e = safetensors_find(file, list[i].name);
        cr_expect_eq(e == NULL, strncmp(list[i].name, "head.", 5) == 0 && !safetensors_find(file, "head.0.weight"), "%s", list[i].name);
        if (!e)
            continue;
        float *values = allocate(list[i].count, sizeof *values);
        tensor_export(&list[i], values, memory + list[i].offset);
        cr_assert_eq(e->bytes, list[i].count * sizeof *values);
        cr_expect_eq(memcmp(e->data, values, e->bytes), 0, "%s", list[i].name);
        free(values);
        found++;
    }
    return found;
}

Test(export, safetensors_hold_torchvisions_tensors)
{
    make_encoder(small);
    for (int head = 0; head < 2; head++) {
        struct safetensors *file;
        const char *path = export_to(head ? "head.safetensors" : "encoder.safetensors", head);
        cr_assert_eq(safetensors_open(&file, path, &err), SIMCLR_OK, "%s", err.text);
        size_t params, buffers, ignored;
        const struct tensor_info *param = network_param_list(encoder.network, &params), *buffer = network_buffer_list(encoder.network, &buffers);
        size_t found = count_tensors(file, param, params, network_params(encoder.network, &ignored)) +
                       count_tensors(file, buffer, buffers, network_buffers(encoder.network, &ignored));
        cr_expect_eq(found, head ? params + buffers : params + buffers - 4);
        cr_expect_eq(safetensors_count(file), found + buffers / 2, "and a number of batches for each norm");
        const struct safetensors_entry *batches = safetensors_find(file, "layer4.1.bn2.num_batches_tracked");
        cr_assert(batches && batches->type == ST_I64 && batches->ndim == 0);
        cr_expect_eq(*(const int64_t *)batches->data, STEPS_TRAINED);
        cr_expect_str_eq(safetensors_metadata(file, "format"), "pt");
        cr_expect_str_eq(safetensors_metadata(file, "arch"), "resnet18");
        cr_expect_str_eq(safetensors_metadata(file, "stem"), "cifar");
        safetensors_close(file);
    }
}

Test(export, of_equal_weights_is_equal)
{
    make_encoder(small);
    cr_expect(same_bytes(export_to("a.safetensors", true), export_to("b.safetensors", true)));
    snprintf(encoder.path, sizeof encoder.path, "elsewhere");
    encoder.step++;
    cr_expect(same_bytes(temp_path(folder, "a.safetensors"), export_to("c.safetensors", true)));
    cr_expect(!same_bytes(temp_path(folder, "a.safetensors"), export_to("d.safetensors", false)));
}

Test(export, names_what_it_cannot_write)
{
    static const char *const bad[] = {"m.pt", "m", ".onnx", "m.onnx.gz"};
    make_encoder(small);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect_eq(export_encoder(temp_path(folder, "%s", bad[i]), &encoder, false, &err), SIMCLR_ERR_USAGE, "%s", bad[i]);
        cr_expect(strstr(err.text, ".safetensors or .onnx"), "%s", err.text);
    }
    const char *path = export_to("m.safetensors", false);
    cr_expect_eq(export_encoder(path, &encoder, false, &err), SIMCLR_ERR_USAGE);
    cr_expect(strstr(err.text, "is there already"), "%s", err.text);
    cr_expect_eq(export_encoder("/nonexistent/m.safetensors", &encoder, false, &err), SIMCLR_ERR_IO);
    cr_expect(strstr(err.text, "/nonexistent/m.safetensors"), "%s", err.text);
}

/* ---- ONNX ---- */

#if HAVE_PROTOBUF_C

#include "onnx.pb-c.h"

/* A value of the graph: n x c x h x w doubles. */
struct value {
    const char *name;
    int n, c, h, w;
    double *data;
};

static struct value values[1024];
static size_t value_count;

static struct value *find_value(const char *name)
{
    for (size_t i = 0; i < value_count; i++)
        if (strcmp(values[i].name, name) == 0)
            return &values[i];
    return NULL;
}

static struct value *add_value(const char *name, int n, int c, int h, int w)
{
    cr_assert(value_count < sizeof values / sizeof values[0] && !find_value(name), "%s is computed twice", name);
    struct value *v = &values[value_count++];
    *v = (struct value){.name = name, .n = n, .c = c, .h = h, .w = w, .data = calloc((size_t)n * (size_t)c * (size_t)h * (size_t)w, sizeof(double))};
    cr_assert_not_null(v->data);
    return v;
}

static double *at(const struct value *v, int n, int c, int y, int x)
{
    return &v->data[(((size_t)n * (size_t)v->c + (size_t)c) * (size_t)v->h + (size_t)y) * (size_t)v->w + (size_t)x];
}

static const struct value *input_of(const Onnx__NodeProto *node, size_t i)
{
    cr_assert(i < node->n_input, "%s", node->name);
    const struct value *v = find_value(node->input[i]);
    cr_assert_not_null(v, "%s reads %s, which is not computed before", node->name, node->input[i]);
    return v;
}

static const Onnx__AttributeProto *attribute_of(const Onnx__NodeProto *node, const char *name)
{
    size_t i = 0;
    while (i < node->n_attribute && strcmp(node->attribute[i]->name, name) != 0)
        i++;
    cr_assert(i < node->n_attribute, "%s has no %s", node->name, name);
    return node->attribute[i];
}

struct window {
    int side, stride, pad;
};

static struct window window_of(const Onnx__NodeProto *node)
{
    const Onnx__AttributeProto *side = attribute_of(node, "kernel_shape"), *stride = attribute_of(node, "strides"), *pad = attribute_of(node, "pads");
    cr_assert(side->n_ints == 2 && stride->n_ints == 2 && pad->n_ints == 4);
    cr_assert(side->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS && side->ints[0] == side->ints[1] && stride->ints[0] == stride->ints[1]);
    for (int i = 1; i < 4; i++)
        cr_assert_eq(pad->ints[i], pad->ints[0]);
    return (struct window){(int)side->ints[0], (int)stride->ints[0], (int)pad->ints[0]};
}

static int slid(int side, struct window w)
{
    return (side + 2 * w.pad - w.side) / w.stride + 1;
}

/* kernel: (k, c, r, r), or NULL for the maximum. */
static void slide(const Onnx__NodeProto *node, const struct value *x, const struct value *kernel)
{
    struct window w = window_of(node);
    struct value *out = add_value(node->output[0], x->n, kernel ? kernel->n : x->c, slid(x->h, w), slid(x->w, w));
    cr_assert(!kernel || (kernel->c == x->c && kernel->h == w.side && kernel->w == w.side), "%s", node->name);
    for (int n = 0; n < out->n; n++)
        for (int k = 0; k < out->c; k++)
            for (int y = 0; y < out->h; y++)
                for (int i = 0; i < out->w; i++) {
                    double sum = kernel ? 0 : -INFINITY;
                    for (int r = 0; r < w.side; r++)
                        for (int s = 0; s < w.side; s++) {
                            int row = y * w.stride - w.pad + r, column = i * w.stride - w.pad + s;
                            if (row < 0 || row >= x->h || column < 0 || column >= x->w)
                                continue;
                            if (!kernel)
                                sum = fmax(sum, *at(x, n, k, row, column));
                            for (int c = 0; kernel && c < x->c; c++)
                                sum += *at(x, n, c, row, column) * *at(kernel, k, c, r, s);
                        }
                    *at(out, n, k, y, i) = sum;
                }
}

static void pool(const Onnx__NodeProto *node, const struct value *x)
{
    struct value *out = add_value(node->output[0], x->n, x->c, 1, 1);
    for (int n = 0; n < x->n; n++)
        for (int c = 0; c < x->c; c++) {
            for (int i = 0; i < x->h * x->w; i++)
                *at(out, n, c, 0, 0) += *at(x, n, c, i / x->w, i % x->w);
            *at(out, n, c, 0, 0) /= x->h * x->w;
        }
}

static void multiply(const Onnx__NodeProto *node, const struct value *x)
{
    const struct value *w = input_of(node, 1), *b = input_of(node, 2);
    cr_assert_eq(attribute_of(node, "transB")->i, 1);
    cr_assert(w->c == x->c && b->n == w->n, "%s", node->name);
    struct value *out = add_value(node->output[0], x->n, w->n, 1, 1);
    for (int n = 0; n < x->n; n++)
        for (int k = 0; k < w->n; k++) {
            double sum = b->data[k];
            for (int c = 0; c < x->c; c++)
                sum += *at(x, n, c, 0, 0) * *at(w, k, c, 0, 0);
            *at(out, n, k, 0, 0) = sum;
        }
}

/* BatchNormalization, Add and Relu. */
static void each(const Onnx__NodeProto *node, const struct value *x)
{
    struct value *out = add_value(node->output[0], x->n, x->c, x->h, x->w);
    bool norm = strcmp(node->op_type, "BatchNormalization") == 0, add = strcmp(node->op_type, "Add") == 0;
    const struct value *more[4];
    for (size_t i = 0; i + 1 < node->n_input; i++)
        more[i] = input_of(node, i + 1);
    cr_assert_eq(node->n_input, norm ? 5 : add ? 2 : 1, "%s", node->name);
    cr_assert(!add || (more[0]->n == x->n && more[0]->c == x->c && more[0]->h == x->h && more[0]->w == x->w), "%s", node->name);
    cr_assert(!norm || more[0]->n == x->c, "%s", node->name);
    for (int i = 0, pixels = x->h * x->w; i < x->n * x->c * pixels; i++) {
        int c = i / pixels % x->c;
        double v = x->data[i];
        if (norm)
            v = (v - more[2]->data[c]) / sqrt(more[3]->data[c] + 1e-5) * more[0]->data[c] + more[1]->data[c];
        out->data[i] = norm ? v : add ? v + more[0]->data[i] : fmax(v, 0);
    }
}

static void compute(const Onnx__NodeProto *node)
{
    const struct value *x = input_of(node, 0);
    const char *op = node->op_type;
    if (strcmp(op, "Conv") == 0)
        slide(node, x, input_of(node, 1));
    else if (strcmp(op, "MaxPool") == 0)
        slide(node, x, NULL);
    else if (strcmp(op, "GlobalAveragePool") == 0)
        pool(node, x);
    else if (strcmp(op, "Gemm") == 0)
        multiply(node, x);
    else if (strcmp(op, "Flatten") == 0) {
        cr_assert(attribute_of(node, "axis")->i == 1 && x->h == 1 && x->w == 1);
        struct value *out = add_value(node->output[0], x->n, x->c, 1, 1);
        memcpy(out->data, x->data, (size_t)x->n * (size_t)x->c * sizeof *x->data);
    } else {
        cr_assert(strcmp(op, "BatchNormalization") == 0 || strcmp(op, "Add") == 0 || strcmp(op, "Relu") == 0, "%s", op);
        each(node, x);
    }
}

static void take_initializer(const Onnx__TensorProto *t)
{
    int dims[4] = {1, 1, 1, 1};
    cr_assert(t->n_dims >= 1 && t->n_dims <= 4 && t->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, "%s", t->name);
    size_t count = 1;
    for (size_t d = 0; d < t->n_dims; d++)
        count *= (size_t)(dims[d] = (int)t->dims[d]);
    cr_assert_eq(t->raw_data.len, count * sizeof(float), "%s", t->name);
    struct value *v = add_value(t->name, dims[0], dims[1], dims[2], dims[3]);
    for (size_t i = 0; i < count; i++) {
        float f;
        memcpy(&f, t->raw_data.data + i * sizeof f, sizeof f);
        v->data[i] = f;
    }
}

static Onnx__ModelProto *read_model(const char *path)
{
    void *bytes;
    size_t size;
    cr_assert_eq(file_read(&bytes, &size, path, 1 << 28, &err), SIMCLR_OK, "%s", err.text);
    Onnx__ModelProto *model = onnx__model_proto__unpack(NULL, size, bytes);
    free(bytes);
    cr_assert_not_null(model, "%s is not a model", path);
    cr_assert(model->n_opset_import == 1 && model->opset_import[0]->version == 13 && model->ir_version == 7);
    return model;
}

static void expect_value(const char *name, const float *expected, int columns)
{
    const struct value *v = find_value(name);
    cr_assert(v && v->n == ROWS && v->c == columns, "%s", name);
    double worst = 0, largest = 0;
    for (int i = 0; i < ROWS * columns; i++) {
        worst = fmax(worst, fabs(v->data[i] - expected[i]));
        largest = fmax(largest, fabs(v->data[i]));
    }
    cr_expect(largest > 0 && worst <= 2e-5 * largest, "%s: %g of %g", name, worst, largest);
}

static void expect_graph_computes(struct network_config config, bool head)
{
    make_encoder(config);
    int size = config.image_size, channels = config.channels;
    float *images = random_array((size_t)(ROWS * size * size * channels), 3);
    const float *h, *z;
    network_forward(encoder.network, images, ROWS, false, &h, &z);

    Onnx__ModelProto *model = read_model(export_to(head ? "z.onnx" : "h.onnx", head));
    const Onnx__GraphProto *graph = model->graph;
    cr_assert(graph->n_input == 1 && graph->n_output == (head ? 2 : 1));
    value_count = 0;
    struct value *x = add_value(graph->input[0]->name, ROWS, channels, size, size);
    for (int i = 0; i < ROWS * size * size * channels; i++)
        *at(x, i / (size * size * channels), i % channels, i / channels / size % size, i / channels % size) = images[i];
    for (size_t i = 0; i < graph->n_initializer; i++)
        take_initializer(graph->initializer[i]);
    for (size_t i = 0; i < graph->n_node; i++)
        compute(graph->node[i]);
    expect_value("h", h, network_feature_dim(encoder.network));
    if (head)
        expect_value("z", z, config.out_dim);
    else
        cr_expect_null(find_value("head.0.weight"));

    Onnx__TensorShapeProto *in = graph->input[0]->type->tensor_type->shape, *out = graph->output[head]->type->tensor_type->shape;
    cr_expect(in->n_dim == 4 && in->dim[1]->dim_value == channels && strcmp(in->dim[0]->dim_param, "N") == 0 &&
              in->dim[2]->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM);
    cr_expect(out->n_dim == 2 && strcmp(out->dim[0]->dim_param, "N") == 0);
    cr_expect_eq(out->dim[1]->dim_value, head ? config.out_dim : network_feature_dim(encoder.network));
    for (size_t i = 0; i < value_count; i++)
        free(values[i].data);
    onnx__model_proto__free_unpacked(model, NULL);
    free(images);
    encoder_close(&encoder);
}

Test(export, onnx_graphs_compute_what_the_network_does)
{
    expect_graph_computes(small, false);
    struct network_config c = small;
    c.head_layers = 3;
    c.head_norm = true;
    c.stem = STEM_IMAGENET;
    c.image_size = 32;
    expect_graph_computes(c, true);
}

Test(export, onnx_graphs_of_bottlenecks_and_grey_images)
{
    expect_graph_computes((struct network_config){.depth = 50, .width = 0.25, .stem = STEM_CIFAR, .channels = 1, .image_size = 8, .head_layers = 1, .out_dim = 3},
                          true);
}

Test(export, onnx_of_equal_weights_is_equal)
{
    make_encoder(small);
    cr_expect(same_bytes(export_to("a.onnx", true), export_to("b.onnx", true)));
}

#else

Test(export, onnx_needs_protobuf_c)
{
    make_encoder(small);
    const char *path = temp_path(folder, "m.onnx");
    cr_expect_eq(export_encoder(path, &encoder, false, &err), SIMCLR_ERR_UNSUPPORTED);
    cr_expect(strstr(err.text, "libprotobuf-c-dev") && strstr(err.text, "protobuf-c-compiler"), "%s", err.text);
    cr_expect_eq(access(path, F_OK), -1);
}

#endif
