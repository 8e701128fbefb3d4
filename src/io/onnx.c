#include "io/onnx.h"

#include "base/status.h"
#include "io/file.h"
#include "protobuf.h"

#if HAVE_PROTOBUF_C

#include "onnx.pb-c.h"

#include <limits.h>
#include <stdlib.h>

enum { IR_VERSION = 7 }; /* of onnx 1.8, the first with opset 13: older readers know it too */

/* protobuf-c's messages hold pointers to each other, and to lists of pointers: each kind is kept beside the lists that it needs. */
struct node_message {
    Onnx__NodeProto node;
    char *inputs[ONNX_INPUTS], *output;
    Onnx__AttributeProto attributes[ONNX_ATTRIBUTES], *attribute_list[ONNX_ATTRIBUTES];
};

struct value_message {
    Onnx__ValueInfoProto value;
    Onnx__TypeProto type;
    Onnx__TypeProto__Tensor tensor;
    Onnx__TensorShapeProto shape;
    Onnx__TensorShapeProto__Dimension dims[ONNX_DIMS], *dim_list[ONNX_DIMS];
};

struct messages {
    Onnx__ModelProto model;
    Onnx__GraphProto graph;
    Onnx__OperatorSetIdProto opset, *opset_list[1];
    struct value_message input;
    Onnx__ValueInfoProto *input_list[1];
    struct node_message *nodes;
    Onnx__NodeProto **node_list;
    Onnx__TensorProto *tensors, **tensor_list;
    struct value_message *outputs;
    Onnx__ValueInfoProto **output_list;
};

static void fill_attribute(Onnx__AttributeProto *a, const struct onnx_attribute *from)
{
    onnx__attribute_proto__init(a);
    a->name = (char *)from->name;
    if (from->count == 0) {
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
        a->i = from->ints[0];
    } else {
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
        a->n_ints = from->count;
        a->ints = (int64_t *)from->ints;
    }
}

/* A node bears the name of its output. */
static void fill_node(struct node_message *m, const struct onnx_node *from)
{
    onnx__node_proto__init(&m->node);
    m->output = (char *)from->output;
    m->node.name = m->output;
    m->node.op_type = (char *)from->op;
    m->node.n_input = from->input_count;
    m->node.input = m->inputs;
    for (size_t i = 0; i < from->input_count; i++)
        m->inputs[i] = (char *)from->inputs[i];
    m->node.n_output = 1;
    m->node.output = &m->output;
    m->node.n_attribute = from->attribute_count;
    m->node.attribute = m->attribute_list;
    for (size_t i = 0; i < from->attribute_count; i++) {
        fill_attribute(&m->attributes[i], &from->attributes[i]);
        m->attribute_list[i] = &m->attributes[i];
    }
}

static void fill_tensor(Onnx__TensorProto *t, const struct onnx_tensor *from)
{
    size_t bytes = sizeof(float);
    for (int d = 0; d < from->ndim; d++)
        bytes *= (size_t)from->dims[d];
    onnx__tensor_proto__init(t);
    t->name = (char *)from->name;
    t->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    t->n_dims = (size_t)from->ndim;
    t->dims = (int64_t *)from->dims;
    t->raw_data = (ProtobufCBinaryData){.len = bytes, .data = (uint8_t *)from->data};
}

static void fill_value(struct value_message *m, const struct onnx_value *from)
{
    onnx__value_info_proto__init(&m->value);
    onnx__type_proto__init(&m->type);
    onnx__type_proto__tensor__init(&m->tensor);
    onnx__tensor_shape_proto__init(&m->shape);
    m->value.name = (char *)from->name;
    m->value.doc_string = (char *)from->doc;
    m->value.type = &m->type;
    m->type.value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    m->type.tensor_type = &m->tensor;
    m->tensor.elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    m->tensor.shape = &m->shape;
    m->shape.n_dim = (size_t)from->ndim;
    m->shape.dim = m->dim_list;
    for (int d = 0; d < from->ndim; d++) {
        Onnx__TensorShapeProto__Dimension *dim = m->dim_list[d] = &m->dims[d];
        onnx__tensor_shape_proto__dimension__init(dim);
        if (from->dims[d].name) {
            dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            dim->dim_param = (char *)from->dims[d].name;
        } else {
            dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            dim->dim_value = from->dims[d].size;
        }
    }
}

static void fill_graph(struct messages *m, const struct onnx_model *from)
{
    onnx__graph_proto__init(&m->graph);
    m->graph.name = (char *)from->name;
    for (size_t i = 0; i < from->node_count; i++) {
        fill_node(&m->nodes[i], &from->nodes[i]);
        m->node_list[i] = &m->nodes[i].node;
    }
    for (size_t i = 0; i < from->tensor_count; i++) {
        fill_tensor(&m->tensors[i], &from->tensors[i]);
        m->tensor_list[i] = &m->tensors[i];
    }
    for (size_t i = 0; i < from->output_count; i++) {
        fill_value(&m->outputs[i], &from->outputs[i]);
        m->output_list[i] = &m->outputs[i].value;
    }
    fill_value(&m->input, &from->input);
    m->input_list[0] = &m->input.value;
    m->graph.n_node = from->node_count;
    m->graph.node = m->node_list;
    m->graph.n_initializer = from->tensor_count;
    m->graph.initializer = m->tensor_list;
    m->graph.n_input = 1;
    m->graph.input = m->input_list;
    m->graph.n_output = from->output_count;
    m->graph.output = m->output_list;
}

static void fill_model(struct messages *m, const struct onnx_model *from)
{
    onnx__model_proto__init(&m->model);
    onnx__operator_set_id_proto__init(&m->opset);
    m->model.ir_version = IR_VERSION;
    m->model.producer_name = "simclr";
    m->model.producer_version = SIMCLR_VERSION;
    m->model.doc_string = (char *)from->doc;
    m->model.graph = &m->graph;
    m->opset.version = from->opset;
    m->opset_list[0] = &m->opset;
    m->model.n_opset_import = 1;
    m->model.opset_import = m->opset_list;
    fill_graph(m, from);
}

static enum simclr_status pack(const char *path, const Onnx__ModelProto *model, struct simclr_error *err)
{
    size_t size = onnx__model_proto__get_packed_size(model);
    if (size > INT_MAX)
        return fail(err, SIMCLR_ERR_UNSUPPORTED, "%s would have %zu MB, and ONNX files end at 2048; export a .safetensors", path, size >> 20);
    uint8_t *bytes = malloc(size);
    if (!bytes)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to write %s (%zu MB)", path, size >> 20);
    onnx__model_proto__pack(model, bytes);
    enum simclr_status status = file_write_atomic(path, bytes, size, err);
    free(bytes);
    return status;
}

enum simclr_status onnx_write(const char *path, const struct onnx_model *model, struct simclr_error *err)
{
    struct messages m = {.nodes = calloc(model->node_count + 1, sizeof *m.nodes),
                         .node_list = calloc(model->node_count + 1, sizeof *m.node_list),
                         .tensors = calloc(model->tensor_count + 1, sizeof *m.tensors),
                         .tensor_list = calloc(model->tensor_count + 1, sizeof *m.tensor_list),
                         .outputs = calloc(model->output_count + 1, sizeof *m.outputs),
                         .output_list = calloc(model->output_count + 1, sizeof *m.output_list)};
    enum simclr_status status;
    if (m.nodes && m.node_list && m.tensors && m.tensor_list && m.outputs && m.output_list) {
        fill_model(&m, model);
        status = pack(path, &m.model, err);
    } else
        status = fail(err, SIMCLR_ERR_MEMORY, "not enough memory to write %s", path);
    free(m.nodes);
    free(m.node_list);
    free(m.tensors);
    free(m.tensor_list);
    free(m.outputs);
    free(m.output_list);
    return status;
}

#else

enum simclr_status onnx_write(const char *path, const struct onnx_model *model, struct simclr_error *err)
{
    (void)model;
    return fail(err, SIMCLR_ERR_UNSUPPORTED, "cannot write %s: this simclr was built without protobuf-c; install libprotobuf-c-dev and "
                "protobuf-c-compiler and run make again, or export a .safetensors", path);
}

#endif
