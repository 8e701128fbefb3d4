/* Effective rank (Roy and Vetterli 2007; of features: RankMe, Garrido et al. 2023): e to the entropy of the singular values' shares of
 * their sum. n equal ones give n; features that fell together give little more than 1. */
#ifndef EVAL_EFFECTIVE_RANK_H
#define EVAL_EFFECTIVE_RANK_H

#include "simclr/status.h"

#include <stddef.h>

enum { EFFECTIVE_RANK_ROWS = 512 }; /* that are looked at, the first of them: 0.3 s at most */

/* Into *rank, of features (rows, d) without those of broken images, not centred: the same bits on every machine. 0: all are 0;
 * NaN: some are not finite. */
enum simclr_status effective_rank(double *rank, const float *features, const int *labels, size_t rows, int d, struct simclr_error *err);

#endif
