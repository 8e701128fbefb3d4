/* In place of a network: three tensors, so that a whole checkpoint has a few hundred bytes. */
#ifndef TESTS_FUZZ_TINY_NETWORK_H
#define TESTS_FUZZ_TINY_NETWORK_H

#include "train/checkpoint.h"

/* Its memory, and that of one array of the optimiser, as what a checkpoint is written from and read into. */
struct checkpoint_target tiny_target(void);

#endif
