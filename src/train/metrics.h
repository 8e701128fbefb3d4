/* RUN/metrics.jsonl: one JSON object a line. What was timed lies under "perf"; the rest is the same on every machine. */
#ifndef TRAIN_METRICS_H
#define TRAIN_METRICS_H

#include "simclr/status.h"

#include <stdint.h>

struct metrics {
    int epoch;
    uint64_t step;
    double loss, loss_floor, loss_ceiling, loss_place; /* place: 0 at the ceiling, 1 at the floor */
    double retrieval1, retrieval5, alignment, uniformity, lr;
    uint64_t skipped;              /* steps of the epoch whose numbers were not finite; 0: left out */
    double knn, knn_untrained;     /* fractions; < 0: not computed, left out */
    double effective_rank;         /* of the features that kNN classified; < 0: as for kNN */
    struct {
        double time;               /* as the epoch ended, seconds since 1970 */
        double images_per_second, gflop_per_second, seconds; /* of the epoch's training steps, without evaluation and checkpoints */
        double percent_of_peak;    /* gflop_per_second, of what FMAs reach with these kernels and threads; NaN: not measured */
        double data_share;         /* of their core-seconds: reading, decoding, augmenting */
    } perf;
};

/* Appends the record to run/metrics.jsonl and has it on disk before a checkpoint that follows. Numbers have the fewest digits that read
 * back the same; what is not finite is null. */
enum simclr_status metrics_append(const char *run, const struct metrics *record, struct simclr_error *err);

/* Removes lines of steps after `step` (left by a run that died after its last checkpoint), and a torn last line. No file is fine; one
 * that a run of so many steps an epoch did not write is refused. */
enum simclr_status metrics_rewind(const char *run, uint64_t steps_per_epoch, uint64_t step, struct simclr_error *err);

#endif
