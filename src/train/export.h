/* An encoder as files that other programs open. Nothing of the machine, the time or the paths is in them: equal weights, equal bytes. */
#ifndef TRAIN_EXPORT_H
#define TRAIN_EXPORT_H

#include "io/safetensors.h"
#include "train/encoder.h"

/* By path's suffix: .safetensors (tensors under torchvision's names; with head also "head.*", as nn.Sequential numbers them) or .onnx (a
 * graph from "images" (N, C, H, W) in [0, 1] to "h" (N, D), with head also "z"; any N, H and W). A file that is there is refused. */
enum simclr_status export_encoder(const char *path, struct encoder *encoder, bool head, struct simclr_error *err);

/* Whether path has a suffix that says what to write, and the place is free: export_encoder asks this too. */
enum simclr_status export_check(const char *path, struct simclr_error *err);

/* export_encoder's parts, which write over what is there. */
enum simclr_status export_safetensors(const char *path, struct encoder *encoder, bool head, struct simclr_error *err);
enum simclr_status export_onnx(const char *path, struct encoder *encoder, bool head, struct simclr_error *err);

/* What the network expects of images, in words. */
enum { EXPORT_INPUT_TEXT = 320 };
void export_input_text(char *text, size_t size, const struct network_config *network);

/* What a safetensors file says of the network in it: its architecture and its input. */
enum { EXPORT_PAIRS = 7 };
struct export_metadata {
    char arch[16], width[32], channels[16], image_size[16], input[EXPORT_INPUT_TEXT];
    struct safetensors_pair pairs[EXPORT_PAIRS];
};
void export_describe(struct export_metadata *metadata, const struct network_config *network);

#endif
