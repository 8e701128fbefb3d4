/* A network: a ResNet encoder (He et al., "Deep Residual Learning", 2016; v1.5, as torchvision defines it) and a projection head. From
 * images it makes features h, which the encoder gives, and projections z of them, which the loss compares. */
#ifndef SIMCLR_MODEL_H
#define SIMCLR_MODEL_H

#include "simclr/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct simclr_model simclr_model;

/* A network with random weights from `seed`, or with init=FILE.safetensors those of a file that has torchvision's names, as
 * simclr_model_save writes it. settings: as in train.h; those of the network (arch, width, stem, image-size, channels, head-layers,
 * head-norm, out-dim, zero-init), seed, init and batch-size count here, so that one list serves a model and a trainer. image-size must be
 * given; stem auto is the cifar stem up to 64 pixels. batch-size is how many images go through it at once, and decides its memory. */
SIMCLR_API enum simclr_status simclr_model_create(simclr_model **model, const simclr_engine *engine, const char *const *settings,
                                                  struct simclr_error *err);

/* What a run trained: path is its folder, whose newest whole checkpoint is taken (damaged ones that are newer are logged), or one
 * checkpoint. Changes no file, so a run may go on meanwhile. batch: images that go through it at once, 1 to 65536. */
SIMCLR_API enum simclr_status simclr_model_load(simclr_model **model, const simclr_engine *engine, const char *path, int32_t batch,
                                                struct simclr_error *err);
SIMCLR_API void simclr_model_free(simclr_model *model);

/* Writes path.safetensors (tensors under torchvision's names and in its layouts; with head also "head.*") or path.onnx (where the library
 * was built with protobuf-c, else SIMCLR_ERR_UNSUPPORTED). A file that is there is refused (SIMCLR_ERR_USAGE). Equal weights, equal
 * bytes. */
SIMCLR_API enum simclr_status simclr_model_save(simclr_model *model, const char *path, bool head, struct simclr_error *err);

SIMCLR_API int32_t simclr_model_feature_dim(const simclr_model *model);    /* of h */
SIMCLR_API int32_t simclr_model_projection_dim(const simclr_model *model); /* of z */
SIMCLR_API int32_t simclr_model_image_size(const simclr_model *model);     /* S: inputs are (S, S, channels) */
SIMCLR_API int32_t simclr_model_channels(const simclr_model *model);
SIMCLR_API uint64_t simclr_model_steps(const simclr_model *model);         /* that its weights were trained for; 0: created */

/* CRC-64/XZ of all weights and running statistics, the same on every machine. */
SIMCLR_API uint64_t simclr_model_hash(const simclr_model *model);

#ifdef __cplusplus
}
#endif
#endif
