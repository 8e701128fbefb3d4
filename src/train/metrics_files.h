/* What others read of RUN/metrics.jsonl: RUN/metrics.csv for spreadsheets, and an event file for TensorBoard. Both are made of its lines
 * and of nothing else. */
#ifndef TRAIN_METRICS_FILES_H
#define TRAIN_METRICS_FILES_H

#include "simclr/status.h"

#define METRICS_CSV "metrics.csv"
#define METRICS_EVENTS "events.out.tfevents.simclr" /* TensorBoard looks for names with tfevents */

/* Brings both up to the lines of metrics.jsonl: adds what is missing at the end, for TensorBoard reads on from where it was, or writes anew
 * a file that says something else. A metrics.csv with other columns is refused. Without lines no file is begun, and without protobuf-c
 * no event file. */
enum simclr_status metrics_files_update(const char *run, struct simclr_error *err);

#endif
