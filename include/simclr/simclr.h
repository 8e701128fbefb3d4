/* libsimclr: self-supervised training of image encoders on CPUs (SimCLR: Chen et al., "A Simple Framework for Contrastive Learning of
 * Visual Representations", 2020), and the kernels under it. This header is all of them; include/README.md shows how they are used.
 *
 * What holds for all functions:
 * - The same bits: results depend on no ISA, number of threads or machine.
 * - Nothing is global: what a function works on is in the handles it is given. It prints nothing, handles no signal, reads no
 *   environment variable (OpenMP's runtime reads its own) and never ends the program.
 * - Handles are opaque; X_create, X_open and X_load make one, or leave NULL and say why; X_free takes NULL. A handle is freed before
 *   what it was made of: a trainer before its data set and engine.
 * - Threads: an engine, a data set and an image may be used by several at once, a model and a trainer by one at a time. Where a fork()
 *   follows work on several threads, the child must not work on several: OpenMP's threads do not live on.
 * - Arrays are row-major and contiguous, of any alignment, and must not overlap unless it says so. Images are (H, W, C), red first. */
#ifndef SIMCLR_SIMCLR_H
#define SIMCLR_SIMCLR_H

#include "simclr/checkpoint.h"
#include "simclr/dataset.h"
#include "simclr/embed.h"
#include "simclr/engine.h"
#include "simclr/kernels.h"
#include "simclr/model.h"
#include "simclr/status.h"
#include "simclr/train.h"

#endif
