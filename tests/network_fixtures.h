/* What PyTorch says of small networks: fixtures_network.py wrote the fixtures, and what they are of is computed here too. */
#ifndef TESTS_NETWORK_FIXTURES_H
#define TESTS_NETWORK_FIXTURES_H

#include "nn/network.h"

enum { PROJECTIONS = 16, TORCH_STEPS = 5 };

struct fixture {
    struct line {
        char name[64];
        size_t count;
        double norm, dots[PROJECTIONS];
    } lines[600];
    int line_count;
    double losses[TORCH_STEPS];
};

/* (2 count, size, size, channels), and the weights, as the script has them bit for bit. */
float *make_images(uint32_t seed, int count, int size, int channels);
void hash_params(struct network *network, int depth);

struct fixture *read_fixture(const char *name);

/* Estimated relative L2 error. A tensor that is zero but for rounding (a bias before a norm) is measured against floor. */
void expect_close(const struct fixture *fixture, const char *name, const float *x, size_t count, double tolerance, double floor);
void expect_all_close(const struct fixture *fixture, const struct tensor_info *list, size_t tensors, const float *memory,
                      double tolerance);

#endif
