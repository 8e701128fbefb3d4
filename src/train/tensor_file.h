/* A network's tensors, and arrays laid out like them, as safetensors files hold them: torch's names and layouts. */
#ifndef TRAIN_TENSOR_FILE_H
#define TRAIN_TENSOR_FILE_H

#include "io/safetensors.h"
#include "nn/network.h"

/* Tensors that share a flat array: the weights, the running statistics, an optimiser's momenta. */
struct tensor_group {
    const char *prefix; /* of their names in the file */
    const struct tensor_info *list;
    size_t count;
    float *memory;
};

/* The network's parameters and running statistics; without the head only what comes before it in each list, the encoder. */
void network_groups(struct tensor_group groups[2], struct network *network, bool head);

/* The tensor's name, type, shape and size in the file; its data are the caller's to set. */
struct safetensors_entry tensor_entry(const struct tensor_group *group, const struct tensor_info *info);

/* The largest tensor, in floats; at least 1. */
size_t tensor_largest(const struct tensor_group *groups, size_t count);

/* The entries of groups, with room for one more, turned into torch's layouts one by one as they are written; after every running_var the
 * num_batches_tracked that torch's BatchNorm keeps. Must not move between being made and freed. */
struct tensor_entries {
    struct safetensors_entry *entries; /* data as it lies in memory */
    const struct tensor_info **tensors; /* of each entry; NULL: its data are as the file has them */
    size_t count;
    float *turned; /* the largest of them */
    int64_t batches;
};
enum simclr_status tensor_entries_make(struct tensor_entries *t, const struct tensor_group *groups, size_t count, uint64_t batches,
                                       const char *path, struct simclr_error *err);
enum simclr_status tensor_entries_write(const char *path, struct tensor_entries *t, const struct safetensors_pair *metadata, size_t pairs,
                                        struct simclr_error *err);
void tensor_entries_free(struct tensor_entries *t);

#endif
