/* Opening data sets in tests, and looking at what they hold. */
#ifndef TESTS_SET_CHECKS_H
#define TESTS_SET_CHECKS_H

#include "data/dataset.h"

extern const struct dataset_options colour; /* three channels, all images */

struct dataset *open_with(const char *path, enum dataset_split split, const struct dataset_options *options);
struct dataset *open_set(const char *path, enum dataset_split split); /* in colour */
/* It cannot be opened, and the reason says both. */
void expect_error(const char *path, enum dataset_split split, const char *part, const char *other);

void expect_name(const struct dataset *set, size_t index, const char *name);
void expect_pixel(const struct dataset *set, size_t index, int x, int y, int r, int g, int b);
void expect_labels(const struct dataset *set, size_t count, const int *labels);

#endif
