/* Event files read back, record by record, and metrics.csv; both beside a run's metrics.jsonl. The real TensorBoard reads such files in
 * tests/tensorboard_test.py. */
#include "io/tfevents.h"

#include "base/crc32c.h"
#include "io/file.h"
#include "protobuf.h"
#include "tests/temp_files.h"
#include "train/metrics.h"
#include "train/metrics_files.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *folder;
static struct simclr_error err;

static void begin(void) { folder = temp_folder(); }
static void end(void) { temp_remove(folder); }
TestSuite(tfevents, .init = begin, .fini = end);

/* RFC 3720, B.4, and the check value of the CRC catalogue. */
Test(tfevents, crc32c_of_published_vectors)
{
    uint8_t zeros[32] = {0}, ones[32], rising[32];
    memset(ones, 0xff, sizeof ones);
    for (int i = 0; i < 32; i++)
        rising[i] = (uint8_t)i;
    cr_expect_eq(crc32c("123456789", 9), 0xe3069283);
    cr_expect_eq(crc32c(zeros, 32), 0x8a9136aa);
    cr_expect_eq(crc32c(ones, 32), 0x62a8ab43);
    cr_expect_eq(crc32c(rising, 32), 0x46dd794e);
    cr_expect_eq(crc32c("", 0), 0);
}

static void *contents(const char *name, size_t *size)
{
    void *data;
    cr_assert_eq(file_read(&data, size, temp_path(folder, "%s", name), 1 << 20, &err), SIMCLR_OK, "%s", err.text);
    return data;
}

/* Line and files of an epoch of 10 steps. */
static void write_epoch(int epoch, double loss)
{
    struct metrics m = {.epoch = epoch, .step = (uint64_t)(10 * epoch), .loss = loss, .loss_floor = 0, .loss_ceiling = 4, .retrieval5 = 0.25,
                        .knn = -1, .knn_untrained = -1, .effective_rank = epoch == 2 ? 7.5 : -1, .perf = {.time = 1700000000.5 + epoch}};
    cr_assert_eq(metrics_append(folder, &m, &err), SIMCLR_OK, "%s", err.text);
    cr_assert_eq(metrics_files_update(folder, &err), SIMCLR_OK, "%s", err.text);
}

#define HEADER "epoch,step,loss,loss_floor,loss_ceiling,loss_place,retrieval@1,retrieval@5,alignment,uniformity,lr,skipped,knn,knn_untrained,"\
               "effective_rank,perf/images_per_second,perf/gflop_per_second,perf/percent_of_peak,perf/seconds,perf/data_share\n"
#define ROW1 "1,10,2.5,0.0,4.0,0.0,0.0,0.25,0.0,0.0,0.0,,,,,0.0,0.0,0.0,0.0,0.0\n"

Test(tfevents, csv_has_a_row_a_line)
{
    size_t size;
    cr_assert_eq(metrics_files_update(folder, &err), SIMCLR_OK, "%s", err.text);
    cr_expect_neq(access(temp_path(folder, METRICS_CSV), F_OK), 0, "without lines there is no file");
    write_epoch(1, 2.5);
    write_epoch(2, NAN);
    char *csv = contents(METRICS_CSV, &size);
    cr_expect_str_eq(csv, HEADER ROW1 "2,20,,0.0,4.0,0.0,0.0,0.25,0.0,0.0,0.0,,,,7.5,0.0,0.0,0.0,0.0,0.0\n");
    free(csv);
    cr_assert_eq(metrics_rewind(folder, 10, 10, &err), SIMCLR_OK);
    cr_assert_eq(metrics_files_update(folder, &err), SIMCLR_OK, "%s", err.text);
    csv = contents(METRICS_CSV, &size);
    cr_expect_str_eq(csv, HEADER ROW1);
    free(csv);
    temp_write(temp_path(folder, METRICS_CSV), "mine\n", 5);
    cr_expect_eq(metrics_files_update(folder, &err), SIMCLR_ERR_USAGE);
    cr_expect(strstr(err.text, "metrics.csv is not of this run; move that file away"), "%s", err.text);
}

#if HAVE_PROTOBUF_C

#include "tfevents.pb-c.h"

static uint64_t little_endian(const uint8_t *p, int bytes)
{
    uint64_t x = 0;
    for (int i = 0; i < bytes; i++)
        x |= (uint64_t)p[i] << 8 * i;
    return x;
}

static uint32_t masked(const uint8_t *data, size_t size)
{
    uint32_t c = crc32c(data, size);
    return (c >> 15 | c << 17) + 0xa282ead8u;
}

/* The next event of a file; freed by the caller. */
static Tfevents__Event *next_event(const uint8_t *file, size_t size, size_t *at)
{
    cr_assert_leq(*at + 16, size);
    const uint8_t *record = file + *at;
    size_t length = little_endian(record, 8);
    cr_assert_leq(*at + 16 + length, size);
    cr_expect_eq(little_endian(record + 8, 4), masked(record, 8));
    cr_expect_eq(little_endian(record + 12 + length, 4), masked(record + 12, length));
    *at += 16 + length;
    Tfevents__Event *event = tfevents__event__unpack(NULL, length, record + 12);
    cr_assert_not_null(event);
    return event;
}

/* The value of a tag; NaN: it is not there. */
static double scalar(const Tfevents__Event *event, const char *tag)
{
    for (size_t i = 0; i < event->summary->n_value; i++)
        if (strcmp(event->summary->value[i]->tag, tag) == 0)
            return event->summary->value[i]->value_case == TFEVENTS__SUMMARY__VALUE__VALUE_SIMPLE_VALUE ? (double)event->summary->value[i]->simple_value : NAN;
    return NAN;
}

static void expect_events(const double *losses, int epochs)
{
    size_t size, at = 0;
    uint8_t *file = contents(METRICS_EVENTS, &size);
    Tfevents__Event *event = next_event(file, size, &at);
    cr_expect_str_eq(event->file_version, "brain.Event:2");
    cr_expect(event->step == 0 && event->wall_time == 1700000001.5);
    tfevents__event__free_unpacked(event, NULL);
    for (int e = 0; e < epochs; e++) {
        event = next_event(file, size, &at);
        cr_assert_not_null(event->summary);
        cr_expect(event->step == 10 * (e + 1) && event->wall_time == 1700000001.5 + e);
        cr_expect(isnan(losses[e]) ? isnan(scalar(event, "loss")) : scalar(event, "loss") == losses[e]);
        cr_expect_eq(scalar(event, "loss_floor"), 0, "a 0 is a value");
        cr_expect_eq(scalar(event, "retrieval@5"), 0.25);
        cr_expect(isnan(scalar(event, "knn")) && isnan(scalar(event, "step")));
        cr_expect(e == 1 ? scalar(event, "effective_rank") == 7.5 : isnan(scalar(event, "effective_rank")));
        tfevents__event__free_unpacked(event, NULL);
    }
    cr_expect_eq(at, size);
    free(file);
}

Test(tfevents, an_event_a_line)
{
    const double losses[] = {2.5, NAN, 1.5}, again[] = {2.5, 2};
    size_t size, ignored;
    for (int e = 0; e < 3; e++) {
        write_epoch(e + 1, losses[e]);
        expect_events(losses, e + 1);
    }
    uint8_t *whole = contents(METRICS_EVENTS, &size), *now;
    temp_write(temp_path(folder, METRICS_EVENTS), whole, size - 40); /* torn */
    cr_assert_eq(metrics_files_update(folder, &err), SIMCLR_OK, "%s", err.text);
    now = contents(METRICS_EVENTS, &ignored);
    cr_expect(ignored == size && memcmp(now, whole, size) == 0);
    free(now);
    free(whole);
    cr_assert_eq(metrics_rewind(folder, 10, 10, &err), SIMCLR_OK);
    write_epoch(2, 2); /* no point twice */
    expect_events(again, 2);
}

#endif
