/* ONNX models, of one graph of 32-bit floats (https://onnx.ai). Written through protobuf-c, which a build may lack. */
#ifndef IO_ONNX_H
#define IO_ONNX_H

#include "simclr/status.h"

#include <stddef.h>
#include <stdint.h>

enum { ONNX_NAME = 80, ONNX_INPUTS = 5, ONNX_ATTRIBUTES = 3, ONNX_DIMS = 4 };

struct onnx_attribute {
    const char *name;
    size_t count; /* 0: one integer, ints[0]; else a list of so many */
    int64_t ints[4];
};

/* An operator with one output. */
struct onnx_node {
    const char *op;
    size_t input_count, attribute_count;
    char inputs[ONNX_INPUTS][ONNX_NAME], output[ONNX_NAME];
    struct onnx_attribute attributes[ONNX_ATTRIBUTES];
};

/* A constant, an initializer in ONNX's words. */
struct onnx_tensor {
    const char *name;
    int ndim;
    int64_t dims[ONNX_DIMS];
    const float *data;
};

/* An input or output of the graph. */
struct onnx_value {
    const char *name, *doc;
    int ndim;
    struct {
        const char *name; /* of a dimension that may be any size; NULL: it is `size` */
        int64_t size;
    } dims[ONNX_DIMS];
};

struct onnx_model {
    const char *name, *doc;
    int opset; /* the version of ONNX's operators that the nodes mean */
    const struct onnx_node *nodes; /* in order of execution */
    size_t node_count;
    const struct onnx_tensor *tensors;
    size_t tensor_count;
    struct onnx_value input;
    const struct onnx_value *outputs;
    size_t output_count;
};

/* Writes beside (path.tmp) and renames; the same model gives the same bytes. SIMCLR_ERR_UNSUPPORTED, naming the packages, in a build
 * without protobuf-c. */
enum simclr_status onnx_write(const char *path, const struct onnx_model *model, struct simclr_error *err);

#endif
