/* Runs that find their folder damaged, taken, full or gone: a sentence, and nothing lost. */
#include "base/crc64.h"
#include "io/file.h"
#include "tests/harness.h"
#include "tests/small_runs.h"
#include "tests/temp_files.h"
#include "train/run_folder.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(recovery, .init = small_runs_begin, .fini = small_runs_end, .timeout = 120);

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
    version = strstr(digits, "\"simclr_format\":\"5\"");
    cr_assert_not_null(version);
    version[strlen("\"simclr_format\":\"")] = '4';
    memset(digits, '0', 16);
    struct crc64 crc;
    crc64_begin(&crc);
    crc64_add(&crc, bytes, size);
    snprintf(text, sizeof text, "%016llx", (unsigned long long)crc64_end(&crc));
    memcpy(digits, text, 16);
    temp_write(temp_path(root, "run/" NEWEST), bytes, size);
    free(bytes);
    cr_expect_eq(run_on("auto", 1, "run", true, (struct interruption){0}), SIMCLR_ERR_USAGE);
    cr_expect(strstr(err.text, NEWEST " has checkpoint format 4 and this program reads format 5"), "%s", err.text);
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
                                "metrics.jsonl.tmp", "metrics.csv.tmp", "events.out.tfevents.simclr.tmp", "broken.txt.tmp"};
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
