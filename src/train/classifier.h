/* A fine-tuned encoder with its linear classifier, in one safetensors file: tensors under torchvision's names, fc.weight and fc.bias too,
 * and in the metadata the architecture, the image size and the classes' names. Nothing of the machine, the time or the paths. */
#ifndef TRAIN_CLASSIFIER_H
#define TRAIN_CLASSIFIER_H

#include "train/encoder.h"

#define CLASSIFIER_FILE "classifier.safetensors"

struct classifier {
    struct encoder encoder; /* network's z are the logits; config says how large its images are; no data is known */
    char **names;           /* (classes), printable */
    int classes;
};

/* network: of a config with `classifier`. batches: that the running statistics have seen. */
enum simclr_status classifier_write(const char *path, struct network *network, const struct network_config *config, char *const *names,
                                    uint64_t batches, struct simclr_error *err);

/* Opens such a file, or the one in a folder of fine-tuning, for passes of up to max_rows images. classifier_close follows, after an error
 * too. */
enum simclr_status classifier_open(struct classifier *classifier, const char *path, int max_rows, const struct engine *engine,
                                   struct simclr_error *err);
void classifier_close(struct classifier *classifier);

#endif
