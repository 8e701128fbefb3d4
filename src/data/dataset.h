/* A set of images, whatever its format: decoded on demand, labels only for evaluation. */
#ifndef DATA_DATASET_H
#define DATA_DATASET_H

#include "base/engine.h"
#include "simclr/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One decoded image: (h, w, c) bytes, c = 1 or 3, rows contiguous. */
struct image {
    int h, w, c;
    uint8_t *pixels;
    int owned; /* pixels are to be freed (image_release) */
};
void image_release(struct image *image);

/* LABELLED is the set whose labels serve a kNN bank or a probe: what is trained on, unless that has no labels by design (STL-10's
 * unlabelled pictures, whose labelled companion is train_X.bin). */
enum dataset_split { SPLIT_TRAIN, SPLIT_TEST, SPLIT_LABELLED };

struct dataset;

struct dataset_options {
    size_t limit;    /* at most so many images, spread evenly over the set so that classes stay balanced; 0: all */
    int channels;    /* 1 or 3: grey is replicated, colour converted, alpha dropped, 16 bits cut to 8 */
    struct stop stop; /* the engine's: asked while a folder is read (SIMCLR_ERR_CANCELLED) */
    size_t max_pixels; /* images of more are broken: taken for decompression bombs. 0: DATASET_MAX_PIXELS */
};
enum { DATASET_MAX_PIXELS = 100000000 }; /* 300 MB decoded */

/* Opens path after looking at it: a folder of images (JPEG, PNG, BMP; flat, nested, or class subfolders), CIFAR-10/100 binary,
 * STL-10 binary, a .npy of (N, H, W, C) or (N, H, W) u8 (beside NAME.npy may lie NAME.labels.npy, and the other splits:
 * NAME.test.npy, NAME.labelled.npy, with labels of their own); path NULL: the built-in generated set of shapes.
 * SPLIT_TRAIN is what is trained on (STL-10: unlabeled_X.bin if there); SPLIT_TEST the evaluation split: the format's own test
 * file, or val/ or test/ beside or with train/. *dataset is NULL with SIMCLR_OK when there is no such split. */
enum simclr_status dataset_open(struct dataset **dataset, const char *path, enum dataset_split split,
                                const struct dataset_options *options, struct simclr_error *err);
/* A set of these image files, in this order, whatever their names end in; there is no other split, and no labels. paths are copied. */
enum simclr_status dataset_open_files(struct dataset **dataset, const char *const *paths, size_t count, const struct dataset_options *options,
                                      struct simclr_error *err);
/* A set of count images pixels (count, h, w, c), which stay the caller's and must outlive it; labels (count), at least -1, are copied, or
 * NULL. There is no other split. */
enum simclr_status dataset_open_arrays(struct dataset **dataset, const uint8_t *pixels, const int32_t *labels, size_t count, int h, int w, int c,
                                       const struct dataset_options *options, struct simclr_error *err);
void dataset_close(struct dataset *dataset);

/* Whether path is a file that dataset_open does not take for a whole set: neither .npy nor .bin. */
bool dataset_is_image_file(const char *path);

size_t dataset_size(const struct dataset *dataset);
int dataset_channels(const struct dataset *dataset);             /* of the images handed out */
int dataset_classes(const struct dataset *dataset);              /* 0: no labels */
int dataset_label(const struct dataset *dataset, size_t index);  /* -1: none */
/* The class's name: its subfolder's, or what a file beside the data says, made printable (base/text.h); else its number. */
const char *dataset_class_name(const struct dataset *dataset, int label, char *text, size_t size);
const char *dataset_kind(const struct dataset *dataset);         /* "CIFAR-10 binary", "folder of images", ... */
/* A file's relative path, made printable (base/text.h), or "#17". */
const char *dataset_item_name(const struct dataset *dataset, size_t index, char *text, size_t size);
/* The path of an image's own file, as it is; false where it has none, or text is too short. */
bool dataset_item_path(const struct dataset *dataset, size_t index, char *text, size_t size);
/* "train", "test", "labelled"; of a folder the subfolder's name, "val" too. */
const char *dataset_part(const struct dataset *dataset);
/* Pixels lie in a file as they are: reading again is as cheap as keeping them in memory. */
bool dataset_is_raw(const struct dataset *dataset);
/* 64-bit hash of what the set is (format, sizes, names, a few records; not where it lies): kept in checkpoints. */
uint64_t dataset_fingerprint(const struct dataset *dataset);

/* Decodes image index; safe to call from several threads. A broken file is an error the caller may skip (SIMCLR_ERR_FORMAT or
 * SIMCLR_ERR_IO, text "name: reason"); SIMCLR_ERR_MEMORY says nothing about the file. */
enum simclr_status dataset_read(const struct dataset *dataset, size_t index, struct image *image, struct simclr_error *err);

/* Asks the system to have the file's part that holds image index in memory soon. May wait for the disk; fails silently. */
void dataset_prefetch(const struct dataset *dataset, size_t index);
bool dataset_can_prefetch(const struct dataset *dataset); /* false: there are no files */

#endif
