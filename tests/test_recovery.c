/* Runs that find their folder damaged, taken, full or gone: a sentence, and nothing lost. */
#include "base/crc64.h"
#include "io/file.h"
#include "io/safetensors.h"
#include "tests/harness.h"
#include "tests/small_runs.h"
#include "tests/temp_files.h"
#include "train/run_folder.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(recovery, .init = small_runs_begin, .fini = small_runs_end, .timeout = 120);

#define NEWEST "checkpoint-00000007.safetensors"
#define BEFORE "checkpoint-00000006.safetensors"

static void copy_run(const char *from, const char *to)
{
    char command[512];
    snprintf(command, sizeof command, "rm -rf %s && cp -r %s %s", temp_path(root, "%s", to), temp_path(root, "%s", from),
             temp_path(root, "%s", to));
    cr_assert_eq(system(command), 0);
}

static bool is_there(const char *run, const char *name)
{
    return access(temp_path(root, "%s/%s", run, name), F_OK) == 0;
}

/* Checkpoints of steps 3, 6 and 7, of 8. */
static void stop_at_seven(const char *run)
{
    cr_assert_eq(run_on("auto", 1, run, false, (struct interruption){.step = 7}), SIMCLR_ERR_CANCELLED);
}

struct damage {
    double at;  /* share of the file */
    long plus;  /* and bytes */
    int bit;    /* to flip there; < 0: cut the file there */
};

static void damage(const char *run, const char *name, struct damage d)
{
    size_t size;
    char *bytes = file_of(&size, run, name);
    size_t at = (size_t)(d.at * (double)size) + (size_t)d.plus;
    if (d.bit < 0)
        size = at;
    else
        bytes[at] ^= (char)(1 << d.bit);
    temp_write(temp_path(root, "%s/%s", run, name), bytes, size);
    free(bytes);
}

Test(recovery, a_damaged_checkpoint_gives_way_to_the_one_before)
{
    const struct damage cases[] = {{0, 0, -1}, {0, 5, -1}, {0, 100, -1}, {0.5, 0, -1}, {1, -1, -1}, {0, 0, 0}, {0, 7, 7}, {0, 20, 1},
                                   {0, 50, 3}, {0, 3000, 5}, {0.3, 0, 2}, {0.9, 3, 4}, {1, -1, 7}};
    run_whole("whole");
    stop_at_seven("stopped");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        copy_run("stopped", "run");
        damage("run", NEWEST, cases[i]);
        resume_on("auto", 1, "run");
        cr_expect_eq(result.trained, 2, "case %zu", i);
        cr_expect(strncmp(told, "warning: ", 9) == 0 && strstr(told, "run/" NEWEST " is damaged") && strstr(told, "; trying the one before it\n"),
                  "case %zu: %s", i, told);
        cr_expect(strstr(told, "notice: going on from ") && strstr(told, "run/" BEFORE "\n"), "case %zu: %s", i, told);
        cr_expect(is_there("run", NEWEST ".damaged") && !is_there("run", NEWEST));
        expect_same_run("whole", "run");
    }
}

Test(recovery, as_many_damaged_checkpoints_as_there_are_but_one)
{
    run_whole("whole");
    stop_at_seven("run");
    damage("run", NEWEST, (struct damage){0, 0, -1});
    damage("run", BEFORE, (struct damage){0.5, 0, 0});
    resume_on("auto", 1, "run");
    cr_expect_eq(result.trained, 5);
    cr_expect(strstr(told, "run/" NEWEST " is damaged") && strstr(told, "run/" BEFORE " is damaged"), "%s", told);
    expect_same_run("whole", "run");
    cr_expect(is_there("run", BEFORE) && is_there("run", BEFORE ".damaged"));
}

/* What is left stays as it is: a run is not begun anew behind its owner's back. */
Test(recovery, no_whole_checkpoint_is_an_error)
{
    stop_at_seven("run");
    damage("run", NEWEST, (struct damage){0, 0, -1});
    damage("run", BEFORE, (struct damage){0.5, 0, 0});
    damage("run", "checkpoint-00000003.safetensors", (struct damage){0.5, 0, -1});
    for (int i = 0; i < 2; i++) {
        cr_expect_eq(run_on("auto", 1, "run", true, (struct interruption){0}), SIMCLR_ERR_FORMAT);
        cr_expect(strstr(err.text, "run/checkpoint-00000003.safetensors is damaged") && strstr(err.text, "no other checkpoint in") &&
                  strstr(err.text, "remove them to begin anew"), "%s", err.text);
        cr_expect(strstr(told, "run/" NEWEST " is damaged") && strstr(told, "run/" BEFORE " is damaged"), "%s", told);
        cr_expect(is_there("run", NEWEST) && is_there("run", BEFORE) && is_there("run", "checkpoint-00000003.safetensors"));
    }
}

/* A whole checkpoint of another format is no damage. */
Test(recovery, another_format_is_refused)
{
    stop_at_seven("run");
    size_t size;
    char *bytes = file_of(&size, "run", NEWEST), *digits = strstr(bytes + 8, "simclr_checksum\":\""), *version = NULL, text[17];
    cr_assert_not_null(digits);
    digits += strlen("simclr_checksum\":\"");
    version = strstr(digits, "\"simclr_format\":\"4\"");
    cr_assert_not_null(version);
    version[strlen("\"simclr_format\":\"")] = '3';
    memset(digits, '0', 16);
    struct crc64 crc;
    crc64_begin(&crc);
    crc64_add(&crc, bytes, size);
    snprintf(text, sizeof text, "%016llx", (unsigned long long)crc64_end(&crc));
    memcpy(digits, text, 16);
    temp_write(temp_path(root, "run/" NEWEST), bytes, size);
    free(bytes);
    cr_expect_eq(run_on("auto", 1, "run", true, (struct interruption){0}), SIMCLR_ERR_USAGE);
    cr_expect(strstr(err.text, NEWEST " has checkpoint format 3 and this program reads format 4"), "%s", err.text);
}

/* Killed after the last checkpoint was written and before the oldest was removed. */
Test(recovery, superfluous_checkpoints_go_at_resume)
{
    run_whole("run");
    config.keep = 2;
    resume_on("auto", 1, "run");
    cr_expect_eq(result.trained, 0);
    cr_expect(!is_there("run", "checkpoint-00000003.safetensors") && is_there("run", BEFORE));
}

/* ---- one run a folder ---- */

/* A child that holds the run's folder until it is killed. */
static pid_t hold(const char *run)
{
    int ready[2];
    char byte;
    cr_assert_eq(pipe(ready), 0);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        struct run_folder folder;
        if (run_folder_open(&folder, temp_path(root, "%s", run), true, &err) == SIMCLR_OK && write(ready[1], "", 1) == 1)
            pause();
        _exit(1);
    }
    close(ready[1]);
    cr_assert_eq(read(ready[0], &byte, 1), 1, "the child has no lock");
    close(ready[0]);
    return child;
}

static void end(pid_t child)
{
    int status;
    cr_assert_eq(kill(child, SIGKILL), 0);
    cr_assert_eq(waitpid(child, &status, 0), child);
}

Test(recovery, a_folder_in_use_is_refused_and_says_by_whom)
{
    char holder[64];
    run_whole("whole");
    stop_at_seven("run");
    cr_expect(!is_there("run", ".lock"));
    pid_t child = hold("run");
    snprintf(holder, sizeof holder, "run is in use by process %ld on ", (long)child);
    cr_expect_eq(run_on("auto", 1, "run", true, (struct interruption){0}), SIMCLR_ERR_USAGE);
    cr_expect(strstr(err.text, holder), "expected \"%s\" in: %s", holder, err.text);
    cr_expect_eq(run_on("auto", 1, "run", false, (struct interruption){0}), SIMCLR_ERR_USAGE);
    cr_expect(strstr(err.text, holder), "%s", err.text);
    end(child);
    cr_expect(is_there("run", ".lock"), "left by the killed, and no hindrance");
    resume_on("auto", 1, "run");
    expect_same_run("whole", "run");
    cr_expect(!is_there("run", ".lock"));
}

/* Opens and closes the folder again and again; whoever has it alone can make the file "mine". Returns how often it failed. */
static int contend(int times)
{
    int failures = 0;
    for (int i = 0; i < times; i++) {
        struct run_folder folder;
        if (run_folder_open(&folder, temp_path(root, "shared"), true, &err) != SIMCLR_OK)
            return 100;
        int fd = open(temp_path(root, "shared/mine"), O_CREAT | O_EXCL | O_WRONLY, 0666);
        failures += fd < 0;
        if (fd >= 0) {
            close(fd);
            unlink(temp_path(root, "shared/mine"));
        }
        run_folder_close(&folder);
    }
    return failures;
}

Test(recovery, two_never_hold_a_folder_at_once)
{
    pid_t children[3];
    for (int i = 0; i < 3; i++) {
        children[i] = fork();
        cr_assert_geq(children[i], 0);
        if (children[i] == 0)
            _exit(contend(150));
    }
    for (int i = 0; i < 3; i++) {
        int status;
        cr_assert_eq(waitpid(children[i], &status, 0), children[i]);
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child %d: %d", i, WEXITSTATUS(status));
    }
}

/* ---- what a killed run leaves ---- */

Test(recovery, unfinished_files_of_a_killed_run_are_removed)
{
    const char *const left[] = {"checkpoint-00000008.safetensors.tmp", "checkpoint-100000000.safetensors.tmp", "config.json.tmp",
                                "metrics.jsonl.tmp", "broken.txt.tmp"};
    const char *const others[] = {"notes.tmp", "checkpoint-notes.tmp", "photo.safetensors.tmp"};
    run_whole("whole");
    stop_at_seven("run");
    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        temp_write(temp_path(root, "run/%s", left[i]), "half", 4);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        temp_write(temp_path(root, "run/%s", others[i]), "mine", 4);
    resume_on("auto", 1, "run");
    expect_same_run("whole", "run");
    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        cr_expect(!is_there("run", left[i]), "%s", left[i]);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        cr_expect(is_there("run", others[i]), "%s", others[i]);
}

/* Killed after any number of a line's bytes were written: the line of epoch 2, of which no checkpoint knows. */
Test(recovery, a_torn_last_line_of_metrics_is_cut)
{
    size_t size;
    run_whole("whole");
    char *text = file_of(&size, "whole", "metrics.jsonl");
    size_t first = strcspn(text, "\n") + 1;
    stop_at_seven("stopped");
    for (size_t cut = first; cut <= size; cut += cut < size && cut + 37 > size ? size - cut : 37) {
        copy_run("stopped", "run");
        temp_write(temp_path(root, "run/metrics.jsonl"), text, cut);
        resume_on("auto", 1, "run");
        expect_same_run("whole", "run");
    }
    memset(text + first + 5, 0, size - first - 5); /* as some file systems are after a power cut */
    copy_run("stopped", "run");
    temp_write(temp_path(root, "run/metrics.jsonl"), text, size);
    resume_on("auto", 1, "run");
    expect_same_run("whole", "run");
    free(text);
}

/* ---- writes that fail ---- */

/* Resumes in a child that cannot write files of more than `most` bytes; returns what it could not write, from the run's name on. */
static const char *resume_with_limit(const char *run, rlim_t most)
{
    static char sentence[sizeof err.text];
    const char *path = temp_path(root, "sentence");
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        FILE *out = fopen(path, "w");
        const struct rlimit limit = {most, most};
        signal(SIGXFSZ, SIG_IGN);
        if (!out || setrlimit(RLIMIT_FSIZE, &limit))
            _exit(1);
        enum simclr_status status = run_on("auto", 1, run, true, (struct interruption){0});
        fprintf(out, "%.80s", status == SIMCLR_OK ? "it succeeded" : strstr(err.text, "cannot write") ? strstr(err.text, run) : err.text);
        _exit(fclose(out) == 0 ? 0 : 1);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    size_t size;
    char *text = file_of(&size, ".", "sentence");
    snprintf(sentence, sizeof sentence, "%s", text);
    free(text);
    return sentence;
}

static void expect_in(const char *text, const char *part)
{
    cr_expect_not_null(strstr(text, part), "expected \"%s\" in: %s", part, text);
}

static void expect_no_unfinished(const char *run)
{
    char command[256];
    snprintf(command, sizeof command, "ls %s | grep -q 'tmp$'", temp_path(root, "%s", run));
    cr_expect_neq(system(command), 0, "%s holds unfinished files", run);
}

Test(recovery, a_checkpoint_that_cannot_be_written_leaves_the_last_one)
{
    config.keep = 1;
    run_whole("whole");
    expect_in(resume_with_limit("run", 100), "run/config.json.tmp: File too large; raise the limit");
    expect_in(resume_with_limit("run", 5000), "run/checkpoint-00000003.safetensors.tmp: File too large");
    cr_assert_eq(run_on("auto", 1, "run", true, (struct interruption){.step = 6}), SIMCLR_ERR_CANCELLED);
    for (int i = 0; i < 2; i++) { /* a restart loop meets it again */
        expect_in(resume_with_limit("run", 100000), "run/checkpoint-00000008.safetensors.tmp: File too large");
        cr_expect(is_there("run", BEFORE), "the last good checkpoint");
        expect_no_unfinished("run");
    }
    resume_on("auto", 1, "run");
    expect_same_run("whole", "run");
    cr_expect(!is_there("run", BEFORE));
}

Test(recovery, metrics_that_cannot_be_written_are_written_later)
{
    config.epochs = 6;
    config.checkpoint_every = 5;
    run_whole("whole");
    size_t size;
    free(file_of(&size, "whole", "metrics.jsonl"));
    cr_assert_eq(run_on("auto", 1, "run", false, (struct interruption){.step = 10}), SIMCLR_ERR_CANCELLED);
    config.checkpoint_every = 1000;
    expect_in(resume_with_limit("run", size - 100), "run/metrics.jsonl: File too large");
    resume_on("auto", 2, "run");
    cr_expect_eq(result.trained, 14);
    expect_same_file("whole", "run", "checkpoint-00000024.safetensors");
    expect_same_metrics("whole", "run");
}

Test(recovery, a_read_only_folder_is_refused)
{
    stop_at_seven("run");
    cr_assert_eq(chmod(root, 0755), 0);
    cr_assert_eq(chmod(temp_path(root, "run"), 0555), 0);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) { /* modes do not bind root */
        if (geteuid() == 0 && setuid(65534))
            _exit(2);
        bool refused = run_on("auto", 1, "run", true, (struct interruption){0}) == SIMCLR_ERR_IO;
        _exit(refused && strstr(err.text, "cannot write in the folder ") && strstr(err.text, "run: Permission denied") ? 0 : 1);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    cr_assert_eq(chmod(temp_path(root, "run"), 0755), 0);
}

/* After step 5 the folder is moved away, and another one may take its place. */
struct move {
    const char *to;
    bool replace;
};

static int move_folder(void *ctx, const struct train_progress *progress, bool epoch_done)
{
    (void)epoch_done;
    const struct move *move = ctx;
    if (progress->step == 5 && strcmp(progress->phase, "train") == 0) {
        cr_assert_eq(rename(temp_path(root, "run"), temp_path(root, "%s", move->to)), 0);
        if (move->replace)
            cr_assert_eq(mkdir(temp_path(root, "run"), 0777), 0);
    }
    return 0;
}

Test(recovery, a_folder_that_goes_away_ends_the_run)
{
    struct engine engine = {.kernels = isa_resolve("auto"), .threads = 1};
    struct move moves[] = {{"gone", false}, {"replaced", true}};
    run_whole("whole");
    for (int i = 0; i < 2; i++) {
        cr_expect_eq(train_run(&config, temp_path(root, "run"), true, &engine, move_folder, &moves[i], &result, &err), SIMCLR_ERR_IO);
        expect_in(err.text, "run was removed, renamed or replaced");
        /* removes a folder only if nothing was written into it, which is not the run's */
        cr_expect_eq(rmdir(temp_path(root, "run")), moves[i].replace ? 0 : -1);
        resume_on("auto", 1, moves[i].to);
        cr_expect_eq(result.trained, STEPS - 3);
        expect_same_run("whole", moves[i].to);
    }
}

/* ---- beginnings ---- */

/* The next try, with what was wrong mended, needs no other folder. */
Test(recovery, a_run_that_fails_before_its_first_step_leaves_nothing)
{
    static const uint8_t bad[] = "BM";
    struct train_config own = config;
    config.batch_size = 100;
    cr_expect_eq(run_on("auto", 1, "run", false, (struct interruption){0}), SIMCLR_ERR_USAGE);
    config = own;
    for (int i = 0; i < 8; i++) /* found out in the first batch */
        temp_write(temp_path(root, "photos/%d.bmp", i), bad, 2);
    snprintf(config.data, sizeof config.data, "%s", temp_path(root, "photos"));
    config.network.image_size = SIDE;
    cr_expect_eq(run_on("auto", 1, "run", false, (struct interruption){0}), SIMCLR_ERR_FORMAT);
    expect_in(err.text, "none of the 8 images can be read");
    cr_expect_eq(rmdir(temp_path(root, "run")), 0, "something is left");
    config = own;
    run_whole("run");
}

Test(recovery, files_that_are_not_this_runs_are_not_touched)
{
    const char *const names[] = {"metrics.jsonl", "broken.txt"};
    size_t size;
    for (int i = 0; i < 2; i++) {
        temp_write(temp_path(root, "taken/%s", names[i]), "mine\n", 5);
        for (int resume = 0; resume < 2; resume++) {
            cr_expect_eq(run_on("auto", 1, "taken", resume, (struct interruption){0}), SIMCLR_ERR_USAGE);
            expect_in(err.text, temp_path(root, "taken/%s is there already, and of no run that can be resumed; move it away", names[i]));
        }
        char *text = file_of(&size, "taken", names[i]);
        cr_expect_str_eq(text, "mine\n");
        free(text);
        unlink(temp_path(root, "taken/%s", names[i]));
    }
    stop_at_seven("run");
    temp_write(temp_path(root, "run/metrics.jsonl"), "mine\n", 5);
    cr_expect_eq(run_on("auto", 1, "run", true, (struct interruption){0}), SIMCLR_ERR_USAGE);
    expect_in(err.text, "run/metrics.jsonl is not of this run; move that file away");
    free(file_of(&size, "run", "metrics.jsonl"));
    cr_expect_eq(size, 5);
    temp_write(temp_path(root, "other/checkpoint-00000002.safetensors"), "", 0);
    cr_expect_eq(run_on("auto", 1, "other", false, (struct interruption){0}), SIMCLR_ERR_USAGE);
    expect_in(err.text, "other already holds a run (checkpoint-00000002.safetensors); go on with --resume");
}

/* All that differ, by name and with both values; a run without a checkpoint has settings too. */
Test(recovery, settings_that_differ_are_named)
{
    struct train_config own = config;
    stop_at_seven("run");
    copy_run("run", "early");
    for (int i = 0; i < 3; i++)
        cr_assert_eq(unlink(temp_path(root, "early/checkpoint-0000000%d.safetensors", (int[]){3, 6, 7}[i])), 0);
    config.limit = 16;
    config.batch_size = 5;
    config.keep_last = true;
    cr_expect_eq(run_on("auto", 1, "run", true, (struct interruption){0}), SIMCLR_ERR_USAGE);
    expect_in(err.text, "was trained with --limit 0, --batch-size 4, --no-keep-last, not --limit 16, --batch-size 5, --keep-last; leave out");
    unlink(temp_path(root, "run/config.json")); /* then the checkpoint's word holds */
    cr_expect_eq(run_on("auto", 1, "run", true, (struct interruption){0}), SIMCLR_ERR_USAGE);
    expect_in(err.text, NEWEST " was trained with --limit 0, --batch-size 4, --no-keep-last, not ");
    config = own;
    resume_on("auto", 1, "run");
    cr_expect(is_there("run", "config.json"), "a config.json that was lost is not written again");
    config.epochs = 3;
    cr_expect_eq(run_on("auto", 1, "early", true, (struct interruption){0}), SIMCLR_ERR_USAGE);
    expect_in(err.text, "early/config.json was trained with --epochs 2, not --epochs 3; a run keeps its epochs, which its learning rate "
                        "follows: for others train anew, with -o ANOTHER");
}

/* ---- checkpoints that were changed ---- */

/* What change makes of a tensor's data. */
typedef void change_fn(void *data);

static void infinite(void *data)
{
    memcpy((char *)data + 8, &(float){(float)INFINITY}, sizeof(float));
}

static void not_a_number(void *data)
{
    memcpy(data, &(float){(float)NAN}, sizeof(float));
}

static void another_step(void *data)
{
    memcpy(data, &(int64_t){6}, sizeof(int64_t));
}

static void more_steps_than_done(void *data)
{
    memcpy((char *)data + 8, &(int64_t){8}, sizeof(int64_t));
}

static void loss_is_no_number(void *data)
{
    memcpy((char *)data + 16, &(double){(double)NAN}, sizeof(double));
}

/* The outputs of all images overflow. */
static void too_large(void *data)
{
    for (int i = 0; i < 512; i++)
        memcpy((char *)data + (size_t)i * sizeof(float), &(float){3e38f}, sizeof(float));
}

/* Writes a checkpoint again, with its right checksum, and one tensor changed. */
static void rewrite(const char *run, const char *name, const char *tensor, change_fn *change)
{
    static const char *const keys[] = {"format", "simclr_format", "settings", "dataset", "step"};
    struct safetensors *file;
    struct safetensors_pair metadata[5];
    const char *path = temp_path(root, "%s/%s", run, name);
    cr_assert_eq(safetensors_open(&file, path, &err), SIMCLR_OK, "%s", err.text);
    size_t count = safetensors_count(file);
    struct safetensors_entry *entries = calloc(count, sizeof *entries);
    for (size_t i = 0; i < count; i++)
        entries[i] = *safetensors_at(file, i);
    for (int i = 0; i < 5; i++)
        metadata[i] = (struct safetensors_pair){keys[i], safetensors_metadata(file, keys[i])};
    change((void *)(uintptr_t)safetensors_find(file, tensor)->data);
    cr_assert_eq(safetensors_write(path, entries, count, metadata, 5, &err), SIMCLR_OK, "%s", err.text);
    free(entries);
    safetensors_close(file);
}

/* ---- stopping ---- */

static bool stop_now;
static bool wants_stop(void) { return stop_now; }

/* Sets the flag as evaluation number *ctx begins. */
static int stop_in_evaluation(void *ctx, const struct train_progress *progress, bool epoch_done)
{
    (void)epoch_done;
    int *left = ctx;
    stop_now |= strcmp(progress->phase, "knn") == 0 && (*left)-- == 0;
    return 0;
}

static enum simclr_status stopped_in(int evaluation, const char *run)
{
    struct engine engine = {.kernels = isa_resolve("auto"), .threads = 2, .stop = wants_stop};
    stop_now = false;
    return train_run(&config, temp_path(root, "%s", run), true, &engine, stop_in_evaluation, &evaluation, &result, &err);
}

Test(recovery, an_evaluation_that_was_left_is_made_again)
{
    run_whole("whole");
    cr_expect_eq(stopped_in(0, "run"), SIMCLR_ERR_CANCELLED);
    cr_expect_str_eq(err.text, "stopped before the first step; nothing was lost");
    cr_expect_eq(rmdir(temp_path(root, "run")), 0);
    cr_expect_eq(stopped_in(1, "run"), SIMCLR_ERR_CANCELLED);
    expect_in(err.text, "stopped after step 4 of 8; go on with --resume -o ");
    cr_expect(!is_there("run", "metrics.jsonl"));
    for (int i = 0; i < 2; i++) { /* again at once, which trains nothing */
        cr_expect_eq(stopped_in(0, "run"), SIMCLR_ERR_CANCELLED);
        cr_expect_eq(result.trained, 0);
    }
    cr_expect_eq(stopped_in(1, "run"), SIMCLR_ERR_CANCELLED);
    expect_in(err.text, "stopped after step 8 of 8");
    copy_run("run", "stopped");
    resume_on("auto", 1, "run");
    cr_expect(result.trained == 0 && result.knn >= 0);
    expect_same_run("whole", "run");
    resume_on("auto", 1, "run");
    expect_same_run("whole", "run");
    size_t size; /* killed after its line, before its checkpoint */
    char *metrics = file_of(&size, "whole", "metrics.jsonl");
    temp_write(temp_path(root, "stopped/metrics.jsonl"), metrics, size);
    resume_on("auto", 1, "stopped");
    expect_same_run("whole", "stopped");
    free(metrics);
}

/* Every step of the last epoch goes wrong, and its evaluation is left: all the same it ends with a line, which says what there is. */
Test(recovery, an_epoch_of_skipped_steps_has_its_evaluation_too)
{
    config.on_nan = ON_NAN_SKIP;
    const char *const runs[] = {"whole", "run"};
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(run_on("auto", 1, runs[i], false, (struct interruption){.step = 4}), SIMCLR_ERR_CANCELLED, "%s", err.text);
        rewrite(runs[i], "checkpoint-00000004.safetensors", "head.2.weight", too_large);
    }
    resume_on("auto", 1, "whole");
    cr_expect(result.skipped == 4 && result.trained == 4 && result.knn >= 0);
    size_t size;
    char *metrics = file_of(&size, "whole", "metrics.jsonl");
    expect_in(metrics, "{\"epoch\": 2, \"step\": 8, \"loss\": null, \"loss_place\": null, \"retrieval@1\": null, \"alignment\": null, "
                       "\"uniformity\": null, ");
    expect_in(metrics, "\"skipped\": 4, \"knn\": ");
    free(metrics);
    cr_expect_eq(stopped_in(0, "run"), SIMCLR_ERR_CANCELLED);
    expect_in(err.text, "stopped after step 8 of 8");
    resume_on("scalar", 2, "run");
    cr_expect(result.trained == 0 && result.knn >= 0);
    expect_same_run("whole", "run");
}

/* Asked while the images are looked for. */
Test(recovery, a_long_list_of_images_is_left)
{
    struct engine engine = {.kernels = isa_resolve("auto"), .threads = 1, .stop = wants_stop};
    write_gradient(temp_path(root, "photos/1.bmp"), SIDE, SIDE, 1);
    snprintf(config.data, sizeof config.data, "%s", temp_path(root, "photos"));
    stop_now = true;
    cr_expect_eq(train_run(&config, temp_path(root, "run"), false, &engine, NULL, NULL, &result, &err), SIMCLR_ERR_CANCELLED);
    expect_in(err.text, "stopped while the images in ");
    cr_expect_eq(rmdir(temp_path(root, "run")), 0);
}

/* Whole files with the right checksum, of which no run can go on. */
Test(recovery, checkpoints_of_nonsense_are_refused_by_name)
{
    const struct {
        const char *tensor, *told;
        change_fn *change;
    } cases[] = {{"conv1.weight", NEWEST " is damaged: tensor conv1.weight holds values that are not finite numbers", not_a_number},
                 {"bn1.running_var", NEWEST " is damaged: tensor bn1.running_var holds values that", infinite},
                 {"optimizer.exp_avg.layer1.0.conv1.weight", NEWEST " is damaged: tensor optimizer.exp_avg.layer1.0.conv1.weight holds", not_a_number},
                 {"trainer.state", NEWEST " is damaged: it holds step 6, and its name says another", another_step},
                 {"trainer.state", NEWEST " is damaged: no run can be in the state that its trainer.state describes", more_steps_than_done},
                 {"trainer.state", NEWEST " is damaged: no run can be in the state", loss_is_no_number}};
    run_whole("whole");
    stop_at_seven("stopped");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        copy_run("stopped", "run");
        rewrite("run", NEWEST, cases[i].tensor, cases[i].change);
        resume_on("auto", 1, "run");
        cr_expect(strstr(told, cases[i].told), "case %zu: %s", i, told);
        cr_expect(result.trained == 2 && is_there("run", NEWEST ".damaged"), "case %zu", i);
        expect_same_run("whole", "run");
    }
}
