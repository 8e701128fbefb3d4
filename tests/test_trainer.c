/* Whole runs: stopped, killed and resumed to the same files on any ISA and threads; what is held out; broken images; refusals. */
#define _GNU_SOURCE /* for sched.h */
#include "data/loader.h"
#include "io/safetensors.h"
#include "tests/harness.h"
#include "tests/small_runs.h"
#include "tests/temp_files.h"
#include "train/checkpoint.h"
#include "train/run_data.h"

#include <math.h>
#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

TestSuite(trainer, .init = small_runs_begin, .fini = small_runs_end, .timeout = 120);

Test(trainer, a_stopped_run_goes_on_to_the_same_files)
{
    run_whole("whole");
    cr_expect(result.steps == STEPS && result.trained == STEPS && result.knn >= 0 && result.broken == 0);
    for (uint64_t step = 1; step <= 5; step++) { /* within an epoch and at its end */
        const char *run = "stopped";
        cr_assert_eq(run_on("auto", 1, run, step > 1, (struct interruption){.step = step}), SIMCLR_ERR_CANCELLED);
        cr_expect_not_null(strstr(err.text, "--resume"), "%s", err.text);
        cr_expect_eq(result.trained, 1);
    }
    resume_on("scalar", 3, "stopped");
    expect_same_run("whole", "stopped");
    resume_on("auto", 1, "stopped"); /* nothing is left */
    cr_expect(result.trained == 0 && result.steps == STEPS);
    expect_same_run("whole", "stopped");
}

Test(trainer, a_killed_run_goes_on_to_the_same_files)
{
    run_whole("whole");
    for (uint64_t step = 2; step <= 7; step += 5) { /* before the first checkpoint; after the one of step 6 */
        char run[16];
        snprintf(run, sizeof run, "killed%d", (int)step);
        pid_t child = fork();
        cr_assert_geq(child, 0);
        if (child == 0) {
            run_on("auto", 1, run, true, (struct interruption){.step = step, .kill = true});
            _exit(1);
        }
        int status;
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        resume_on("auto", 2, run);
        cr_expect_eq(result.trained, step == 2 ? STEPS : STEPS - 6);
        expect_same_run("whole", run);
    }
}

/* A line that a killed run left after its last checkpoint, and a torn one, are not kept. */
Test(trainer, metrics_after_the_checkpoint_are_written_again)
{
    config.checkpoint_every = 6;
    run_whole("whole");
    cr_assert_eq(run_on("auto", 1, "cut", false, (struct interruption){.step = 6}), SIMCLR_ERR_CANCELLED);
    FILE *f = fopen(temp_path(root, "cut/metrics.jsonl"), "a");
    cr_assert_not_null(f);
    fputs("{\"epoch\": 2, \"step\": 8, \"loss\": 1.0, \"perf\": {}}\n{\"epoch\": 3, \"st", f);
    fclose(f);
    resume_on("auto", 1, "cut");
    expect_same_run("whole", "cut");
}

Test(trainer, every_isa_and_thread_count_writes_the_same_bytes)
{
    const struct kernels *isas[8];
    const int threads[] = {1, 2, 3, 5};
    size_t count = test_isas(isas);
    config.keep_last = true;
    config.epochs = 1;
    config.checkpoint_every = 1000;
    for (size_t i = 0; i < count; i++)
        for (int t = 0; t < 4; t++) {
            char run[32];
            snprintf(run, sizeof run, "%s-%d", isas[i]->name, threads[t]);
            cr_assert_eq(run_on(isas[i]->name, threads[t], run, false, (struct interruption){0}), SIMCLR_OK, "%s", err.text);
            cr_expect_eq(result.steps, 5); /* 4 whole batches and one of 2 */
            expect_same_file("scalar-1", run, "checkpoint-00000005.safetensors");
        }
}

/* Which pictures a loader has, by their first pixel. */
static void mark(int seen[PICTURES], struct loader *loader)
{
    float *out = malloc(loader_size(loader) * loader_image_floats(loader) * sizeof *out);
    cr_assert_eq(loader_clean(loader, out, NULL, 0, (int)loader_size(loader), &err), SIMCLR_OK, "%s", err.text);
    for (size_t i = 0; i < loader_size(loader); i++)
        seen[(int)(255 * out[i * loader_image_floats(loader)] / 10 + 0.5f)]++;
    free(out);
}

Test(trainer, the_held_out_tenth_is_not_trained_on)
{
    struct engine engine = {.kernels = isa_resolve("scalar"), .threads = 1};
    struct run_data data;
    uint64_t fingerprint[2];
    cr_assert_eq(run_data_open(&data, &config, &engine, &err), SIMCLR_OK, "%s", err.text);
    cr_assert(loader_size(data.train) == 18 && loader_size(data.test) == 2 && data.bank == data.train && data.classes == 2);
    cr_expect(config.network.image_size == SIDE && config.network.stem == STEM_CIFAR);
    int trained[PICTURES] = {0}, held_out[PICTURES] = {0};
    mark(trained, data.train);
    mark(held_out, data.test);
    for (int i = 0; i < PICTURES; i++)
        cr_expect_eq(trained[i] + held_out[i], 1, "picture %d", i);
    fingerprint[0] = data.fingerprint;
    run_data_close(&data);
    config.knn_every = 0; /* then nothing is held out, and it is another set that is trained on */
    cr_assert_eq(run_data_open(&data, &config, &engine, &err), SIMCLR_OK, "%s", err.text);
    cr_expect(loader_size(data.train) == PICTURES && !data.test && !data.bank);
    fingerprint[1] = data.fingerprint;
    run_data_close(&data);
    cr_expect_neq(fingerprint[0], fingerprint[1]);
}

static void write_pictures(const char *folder, int classes, int count)
{
    for (int i = 0; i < count; i++)
        if (classes)
            write_gradient(temp_path(root, "%s/%d/%02d.bmp", folder, i % classes, i), 8 + i, 9, (unsigned)i);
        else
            write_gradient(temp_path(root, "%s/%02d.bmp", folder, i), 8 + i, 9, (unsigned)i);
}

Test(trainer, queries_come_from_the_sets_own_test_split_if_it_has_labels)
{
    struct engine engine = {.kernels = isa_resolve("scalar"), .threads = 1};
    struct run_data data;
    write_pictures("labelled/train", 2, 20);
    write_pictures("labelled/val", 2, 6);
    write_pictures("unlabelled/train", 2, 20);
    write_pictures("unlabelled/test", 0, 6);
    write_pictures("plain", 0, 20);
    const struct {
        const char *path;
        size_t train, test;
    } cases[] = {{"labelled", 20, 6}, {"labelled/train", 20, 6}, {"unlabelled", 18, 2}, {"plain", 20, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(config.data, sizeof config.data, "%s", temp_path(root, "%s", cases[i].path));
        cr_assert_eq(run_data_open(&data, &config, &engine, &err), SIMCLR_OK, "%s", err.text);
        cr_expect_eq(loader_size(data.train), cases[i].train, "%s", cases[i].path);
        cr_expect_eq(data.test ? loader_size(data.test) : 0, cases[i].test, "%s", cases[i].path);
        run_data_close(&data);
    }
}

Test(trainer, broken_images_are_skipped_and_listed)
{
    write_pictures("photos/train", 0, 16);
    temp_write(temp_path(root, "photos/train/03.bmp"), "", 0);
    temp_write(temp_path(root, "photos/train/11.bmp"), "BM", 2);
    snprintf(config.data, sizeof config.data, "%s", temp_path(root, "photos/train"));
    config.batch_size = 4;
    run_whole("whole");
    cr_expect_eq(result.broken, 2);
    size_t size;
    char *list = file_of(&size, "whole", "broken.txt");
    cr_expect_str_eq(list, "03.bmp: the file is empty\n11.bmp: the BMP ends before its picture does: it is cut short, copy it again\n");
    free(list);
    for (uint64_t step = 1; step < STEPS; step++)
        cr_assert_eq(run_on("auto", 1 + (int)step % 3, "parts", step > 1, (struct interruption){.step = step}), SIMCLR_ERR_CANCELLED);
    resume_on("auto", 3, "parts");
    cr_expect_eq(result.broken, 2);
    expect_same_run("whole", "parts");
    expect_same_file("whole", "parts", "broken.txt");
    resume_on("auto", 1, "parts");
    cr_expect(result.trained == 0 && result.broken == 2, "a run that is complete still tells of them");
}

/* Which images are in memory decides nothing; the share of time spent on them is told. */
Test(trainer, caches_change_nothing)
{
    const enum cache_mode modes[] = {CACHE_NONE, CACHE_RAM, CACHE_AUTO};
    write_pictures("photos/train", 2, 20);
    write_pictures("photos/val", 2, 6);
    snprintf(config.data, sizeof config.data, "%s", temp_path(root, "photos"));
    for (int i = 0; i < 3; i++) {
        char run[32];
        snprintf(run, sizeof run, "cache%d", i);
        config.cache = modes[i];
        cr_assert_eq(run_on("auto", 1 + i % 2, run, false, (struct interruption){.step = 5}), SIMCLR_ERR_CANCELLED);
        config.cache = modes[(i + 1) % 3]; /* another one from here on */
        resume_on("auto", 2, run);
        size_t size;
        char *metrics = file_of(&size, run, "metrics.jsonl"), *share = strstr(metrics, "\"data_share\": ");
        cr_assert_not_null(share, "%s", metrics);
        double value = strtod(share + strlen("\"data_share\": "), NULL);
        cr_expect(value > 0 && value < 1, "%s", metrics);
        free(metrics);
        if (i > 0) {
            expect_same_file("cache0", run, "checkpoint-00000010.safetensors");
            expect_same_metrics("cache0", run);
        }
    }
}

Test(trainer, broken_queries_are_listed_as_well)
{
    write_pictures("photos/train", 2, 8);
    write_pictures("photos/val", 2, 8);
    temp_write(temp_path(root, "photos/val/1/03.bmp"), "", 0);
    snprintf(config.data, sizeof config.data, "%s", temp_path(root, "photos"));
    config.epochs = 1;
    run_whole("run");
    cr_expect_eq(result.broken, 1);
    size_t size;
    char *list = file_of(&size, "run", "broken.txt");
    cr_expect_str_eq(list, "held out: 1/03.bmp: the file is empty\n");
    free(list);
}

static void expect_refusal(const char *run, bool resume, const char *part)
{
    cr_expect_eq(run_on("auto", 1, run, resume, (struct interruption){0}), SIMCLR_ERR_USAGE, "%s", part);
    cr_expect_not_null(strstr(err.text, part), "expected \"%s\" in: %s", part, err.text);
}

Test(trainer, another_run_is_refused)
{
    struct train_config own;
    cr_assert_eq(run_on("auto", 1, "run", false, (struct interruption){.step = 3}), SIMCLR_ERR_CANCELLED);
    own = config;
    expect_refusal("run", false, "already holds a run");
    config.lr = 0.5;
    expect_refusal("run", true, "config.json was trained with --lr 0.0003, not --lr 0.5; leave out");
    config = own;
    config.knn_every = 0;
    expect_refusal("run", true, "its --knn-every is 1, not 0");
    config = own;
    write_set("other", 3);
    snprintf(config.data, sizeof config.data, "%s", temp_path(root, "other.npy"));
    expect_refusal("run", true, "another data set");
    config = own;
    write_set("moved", 0); /* the same pictures in another place; evaluating less often decides nothing */
    snprintf(config.data, sizeof config.data, "%s", temp_path(root, "moved.npy"));
    config.knn_every = 2;
    resume_on("auto", 1, "run");
    config.batch_size = 19;
    expect_refusal("larger", false, "--batch-size 19 is larger than the set's 18 images");
}

static void expect_tensor(const struct safetensors *file, const char *name, enum safetensors_type type, int ndim, const size_t *dims)
{
    const struct safetensors_entry *e = safetensors_find(file, name);
    cr_assert_not_null(e, "there is no %s", name);
    cr_expect(e->type == type && e->ndim == ndim && memcmp(e->dims, dims, sizeof *dims * (size_t)ndim) == 0, "%s has another shape", name);
}

Test(trainer, a_checkpoint_has_torchs_tensors_and_old_ones_go)
{
    config.checkpoint_every = 1;
    config.keep = 2;
    run_whole("run");
    cr_expect(access(temp_path(root, "run/checkpoint-00000007.safetensors"), F_OK) == 0);
    cr_expect(access(temp_path(root, "run/checkpoint-00000006.safetensors"), F_OK) != 0);
    struct safetensors *file;
    cr_assert_eq(safetensors_open(&file, temp_path(root, "run/checkpoint-00000008.safetensors"), &err), SIMCLR_OK, "%s", err.text);
    expect_tensor(file, "conv1.weight", ST_F32, 4, (size_t[]){16, 3, 3, 3});
    expect_tensor(file, "layer2.0.downsample.0.weight", ST_F32, 4, (size_t[]){32, 16, 1, 1});
    expect_tensor(file, "layer4.1.bn2.running_var", ST_F32, 1, (size_t[]){128});
    expect_tensor(file, "bn1.num_batches_tracked", ST_I64, 0, (size_t[]){0});
    expect_tensor(file, "optimizer.exp_avg.layer1.0.conv2.weight", ST_F32, 4, (size_t[]){16, 16, 3, 3});
    int64_t batches;
    memcpy(&batches, safetensors_find(file, "bn1.num_batches_tracked")->data, sizeof batches);
    cr_expect_eq(batches, STEPS);
    safetensors_close(file);
}

Test(trainer, checkpoints_of_long_runs_are_found)
{
    char path[4096];
    temp_write(temp_path(root, "run/checkpoint-99999999.safetensors"), "", 0);
    temp_write(temp_path(root, "run/checkpoint-5.safetensors"), "", 0);
    temp_write(temp_path(root, "run/checkpoint-00000009.safetensors.tmp"), "", 0);
    checkpoint_newest(path, sizeof path, temp_path(root, "run"));
    cr_expect_str_eq(path, temp_path(root, "run/checkpoint-99999999.safetensors"));
    temp_write(temp_path(root, "run/checkpoint-100000000.safetensors"), "", 0);
    checkpoint_newest(path, sizeof path, temp_path(root, "run"));
    cr_expect_str_eq(path, temp_path(root, "run/checkpoint-100000000.safetensors"));
}

static double metric(const char *run, const char *key)
{
    size_t size;
    char *text = file_of(&size, run, "metrics.jsonl"), *at = strstr(text, key);
    cr_assert_not_null(at, "%s", text);
    double value = strtod(at + strlen(key), NULL);
    free(text);
    return value;
}

/* Means over an epoch as they are told after each of its steps. */
struct told_means {
    double loss[16], floor, ceiling;
};

static int note_means(void *ctx, const struct train_progress *progress, bool epoch_done)
{
    struct told_means *told_means = ctx;
    (void)epoch_done;
    if (strcmp(progress->phase, "train") == 0) {
        told_means->loss[progress->step] = progress->loss;
        told_means->floor = progress->floor;
        told_means->ceiling = progress->ceiling;
    }
    return 0;
}

static void run_noted(const char *run, struct told_means *told_means)
{
    struct engine engine = {.kernels = isa_resolve("auto"), .threads = 1};
    cr_assert_eq(train_run(&config, temp_path(root, "%s", run), false, &engine, note_means, told_means, &result, &err), SIMCLR_OK, "%s", err.text);
}

/* Four batches of 4 and one of 2, which weighs half of the others; its loss is that of the last of nine batches of 2. */
Test(trainer, a_short_last_batch_counts_by_its_images)
{
    struct told_means fours, twos;
    config.epochs = 1;
    config.lr = 0;
    config.keep_last = true;
    run_noted("fours", &fours);
    config.batch_size = 2;
    run_noted("twos", &twos);
    double last = 9 * twos.loss[9] - 8 * twos.loss[8], mean = (4 * fours.loss[4] + 0.5 * last) / 4.5;
    cr_expect_lt(fabs(fours.loss[5] - mean), 1e-9, "%.17g for %.17g", fours.loss[5], mean);
    cr_expect_eq(metric("fours", "\"loss\": "), fours.loss[5]);
    cr_expect_lt(fabs(fours.ceiling - (4 * log(7) + 0.5 * log(3)) / 4.5), 1e-9);
    cr_expect_lt(fabs(metric("fours", "\"loss_place\": ") - (fours.ceiling - mean) / (fours.ceiling - fours.floor)), 1e-9);
}

Test(trainer, advice_that_works)
{
    config.limit = 1;
    expect_refusal("run", false, "there is only one image to train on, and its views need others to differ from; raise --limit");
    config.limit = 3;
    expect_refusal("run", false, "--batch-size 4 is larger than the set's 3 images; use 3 or less");
    config.batch_size = 3;
    run_whole("run");
}

/* Images that cannot be read end no run, though there be no others to compare. */
Test(trainer, no_figure_where_no_query_can_be_read)
{
    for (int i = 0; i < 8; i++)
        write_gradient(temp_path(root, "set/train/%c/%d.bmp", 'a' + i % 2, i), SIDE, SIDE, (unsigned)i);
    temp_write(temp_path(root, "set/test/a/0.bmp"), "BM", 2);
    temp_write(temp_path(root, "set/test/b/1.bmp"), "BM", 2);
    snprintf(config.data, sizeof config.data, "%s", temp_path(root, "set"));
    config.network.image_size = SIDE;
    config.knn_every = 1;
    cr_assert_eq(run_on("auto", 1, "run", false, (struct interruption){0}), SIMCLR_OK, "%s", err.text);
    cr_expect(result.knn < 0 && result.knn_untrained < 0 && result.broken == 2);
    cr_expect(strstr(told, "no kNN this time"), "%s", told);
}

/* ---- memory ---- */

#ifndef SANITIZED
enum { LARGE = 256, LARGE_COUNT = 40, LARGE_BYTES = LARGE * LARGE * 3 }; /* 7.5 MB decoded, small files */

static void write_large(void)
{
    uint8_t *pixels = malloc(LARGE_BYTES);
    for (int i = 0; i < LARGE_COUNT; i++) {
        paint_flat(pixels, LARGE, LARGE, i, i, i);
        struct file_bytes file = encode_png(pixels, LARGE, LARGE, 3);
        temp_write(temp_path(root, "large/%02d.png", i), file.data, file.size);
        free(file.data);
    }
    free(pixels);
    snprintf(config.data, sizeof config.data, "%s", temp_path(root, "large"));
    config.network.image_size = SIDE;
}

/* How many of the images are in memory once all were read, in a process that may grow by so much: those that can be had again when
 * their files are gone. < 0: reading them failed, and err says why. */
static int images_kept(enum cache_mode mode, size_t megabytes)
{
    struct engine engine = {.kernels = isa_resolve("scalar"), .threads = 1};
    struct run_data data;
    struct rlimit space;
    unsigned long pages = 0;
    const char *const *messages;
    cr_assert_eq(run_data_open(&data, &config, &engine, &err), SIMCLR_OK, "%s", err.text);
    float *out = malloc(LARGE_COUNT * loader_image_floats(data.train) * sizeof *out);
    FILE *statm = fopen("/proc/self/statm", "r");
    cr_assert(statm && fscanf(statm, "%lu", &pages) == 1 && getrlimit(RLIMIT_AS, &space) == 0);
    fclose(statm);
    space.rlim_cur = pages * (size_t)sysconf(_SC_PAGESIZE) + (megabytes << 20);
    cr_assert_eq(setrlimit(RLIMIT_AS, &space), 0);
    run_data_cache(&data, mode, SIZE_MAX);
    if (loader_clean(data.train, out, NULL, 0, LARGE_COUNT, &err) != SIMCLR_OK)
        return -1;
    cr_assert_eq(rename(config.data, temp_path(root, "gone")), 0);
    cr_assert_eq(loader_clean(data.train, out, NULL, 0, LARGE_COUNT, &err), SIMCLR_OK, "%s", err.text);
    int kept = LARGE_COUNT - (int)loader_broken(data.train, &messages);
    run_data_close(&data);
    free(out);
    return kept;
}

/* 3 / 8 of 8 MB are 16 of these images. */
Test(trainer, the_automatic_cache_takes_a_share_of_free_memory)
{
    write_large();
    int kept = images_kept(CACHE_AUTO, 8);
    cr_expect(kept >= 12 && kept <= 16, "%d are in memory", kept);
}

Test(trainer, the_automatic_cache_takes_all_where_there_is_room)
{
    write_large();
    cr_expect_eq(images_kept(CACHE_AUTO, 64), LARGE_COUNT);
}

Test(trainer, a_cache_of_all_says_when_not_all_fit)
{
    write_large();
    cr_expect_eq(images_kept(CACHE_RAM, 7), -1);
    cr_expect(strstr(err.text, "the decoded images do not all fit into the memory that is free (6 MB); use --cache auto or none"), "%s", err.text);
}

Test(trainer, a_cache_of_all_takes_most_of_memory)
{
    write_large();
    cr_expect_eq(images_kept(CACHE_RAM, 16), LARGE_COUNT, "%s", err.text);
}
#endif

/* Gives every thread of a process these CPUs; how many threads it has. */
static int move_to(pid_t process, const cpu_set_t *cpus)
{
    int threads = 0;
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)process);
    DIR *tasks = opendir(path);
    for (struct dirent *entry; tasks && (entry = readdir(tasks));)
        threads += entry->d_name[0] != '.' && sched_setaffinity(atoi(entry->d_name), sizeof *cpus, cpus) == 0;
    if (tasks)
        closedir(tasks);
    return threads;
}

Test(trainer, a_core_taken_away_slows_it_and_changes_nothing)
{
    cpu_set_t all, one;
    cr_assert_eq(sched_getaffinity(0, sizeof all, &all), 0);
    if (CPU_COUNT(&all) < 2)
        cr_skip("this machine has one CPU");
    CPU_ZERO(&one);
    for (int cpu = 0; CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &all))
            CPU_SET(cpu, &one);
    config.epochs = 10;
    config.checkpoint_every = 1000;
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0)
        _exit(run_on("auto", 2, "moved", false, (struct interruption){0}) != SIMCLR_OK);
    int status, moved = 0, most = 0;
    for (bool away = true; waitpid(child, &status, WNOHANG) == 0; away = !away) { /* and given back, and taken away ... */
        int threads = move_to(child, away ? &one : &all);
        most = threads > most ? threads : most;
        moved++;
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    cr_expect(moved > 3 && most >= 2, "moved %d times, %d threads", moved, most);
    run_whole("whole");
    expect_same_file("whole", "moved", "checkpoint-00000040.safetensors");
    expect_same_metrics("whole", "moved");
}
