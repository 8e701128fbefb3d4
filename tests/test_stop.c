/* Signals: whatever the program is at, it saves what it has and ends soon, and says by which signal. */
#define _DEFAULT_SOURCE
#include "tests/program.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(stop, .fini = leave_program, .timeout = 300);

enum { QUERIES = 3000 };

/* Runs of one step an epoch, whose evaluation takes seconds: few pictures to train on, and many others. */
#define EVALUATED "train", "few.npy", "--arch", "resnet18", "--width", "0.25", "--image-size", "32", "--stem", "cifar", "--batch-size", "16", \
                  "--out-dim", "16", "--augment", "cifar", "--threads", "1", "--epochs", "2"

static void make_few(void)
{
    char many[64];
    snprintf(many, sizeof many, "pack -o many.npy --limit %d", QUERIES);
    cr_assert_eq(run("pack -o few.npy --limit 16"), 0, "%s", output);
    cr_assert_eq(run(many), 0, "%s", output);
    cr_assert_eq(system("mv many.npy few.test.npy && mv many.labels.npy few.test.labels.npy && rm many.*"), 0);
}

static double cpu_used(void)
{
    return (double)used.ru_utime.tv_sec + (double)used.ru_stime.tv_sec + 1e-6 * (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

static bool says(const char *pattern)
{
    char command[512];
    snprintf(command, sizeof command, "grep -q -e '%s' out.txt", pattern);
    return system(command) == 0;
}

/* Stopped in the evaluations of the first epoch and of the last, which then come late, and no more than once. */
Test(stop, an_evaluation_is_left_and_made_again)
{
    if (!have_program())
        return;
    make_few();
    const char *const run_of[] = {"simclr", EVALUATED, "--resume", "-o", "stopped", NULL};
    const int signals[] = {SIGINT, SIGHUP};
    const char *const begun[] = {"stopped/config.json", "stopped/metrics.jsonl"};
    for (int i = 0; i < 2; i++) {
        pid_t child = start(run_of);
        wait_for_file(begun[i], 1); /* written before an evaluation: right away, or a step of some 50 ms later */
        wait_for_work(child, 0.3);
        double before = cpu_seconds(child);
        kill(child, signals[i]);
        cr_expect_eq(end_of(child), 128 + signals[i]);
        cr_expect_lt(cpu_used() - before, 0.4, "%g seconds", cpu_used() - before);
        cr_expect(says(i ? "^simclr: stopped after step 2 of 2; go on with --resume -o stopped$" : "^simclr: stopped after step 1 of 2"));
        cr_expect_eq(system(i ? "test $(wc -l <stopped/metrics.jsonl) = 1" : "test ! -e stopped/metrics.jsonl"), 0);
    }
    cr_expect_eq(system("mkdir copy && cp -r stopped/* copy"), 0);
    cr_expect_eq(end_of(start(run_of)), 0);
    cr_expect_gt(cpu_used(), 1, "the evaluation takes %g seconds, too few to tell whether it was left", cpu_used());
    cr_assert_eq(end_of(start((const char *const[]){"simclr", EVALUATED, "-o", "whole", NULL})), 0);
    cr_expect(same_files("stopped/checkpoint-00000002.safetensors", "whole/checkpoint-00000002.safetensors"));
    cr_expect(same_metrics("stopped", "whole"));
    cr_expect_eq(system("cp whole/metrics.jsonl copy"), 0); /* killed after its line, before its checkpoint */
    expect_output("train --resume -o copy --threads 1", "epoch 2/2");
    cr_expect(same_metrics("copy", "whole"));
    cr_expect(same_files("copy/checkpoint-00000002.safetensors", "whole/checkpoint-00000002.safetensors"));
}

/* Nothing has begun: nothing is left, and the same command begins. */
Test(stop, before_the_first_step_nothing_is_left)
{
    if (!have_program())
        return;
    make_few();
    pid_t child = start((const char *const[]){"simclr", EVALUATED, NULL});
    wait_for_file("runs/few.npy-1/.lock", 1);
    wait_for_work(child, 0.3); /* it evaluates the untrained encoder */
    kill(child, SIGTERM);
    cr_expect_eq(end_of(child), 128 + SIGTERM);
    cr_expect(says("^simclr: stopped before the first step; nothing was lost$"));
    cr_expect_eq(access("runs", F_OK), -1, "a folder is left");
}

Test(stop, a_second_signal_of_any_kind_quits_at_once)
{
    if (!have_program())
        return;
    const struct {
        int first, second;
    } cases[] = {{SIGINT, SIGTERM}, {SIGTERM, SIGHUP}, {SIGHUP, SIGHUP}};
    for (int i = 0; i < 3; i++) { /* a step of many seconds */
        char folder[16];
        snprintf(folder, sizeof folder, "run%d", i);
        pid_t child = start((const char *const[]){"simclr", "train", "--arch", "resnet50", "--image-size", "96", "--batch-size", "64", "--limit",
                                                  "64", "--knn-every", "0", "--threads", "1", "-o", folder, NULL});
        while (!says("^loss: "))
            pause_for(0.01);
        kill(child, cases[i].first);
        for (int wait = 0; wait < 500 && !says("^simclr: stopping; once more to quit at once$"); wait++)
            pause_for(0.01);
        cr_expect(says("^simclr: stopping; once more to quit at once$"), "told before the step is done");
        kill(child, cases[i].second);
        cr_expect_eq(end_of(child), -cases[i].second);
    }
}

/* As with nohup, and as a script's shell starts what it ends with "&". */
Test(stop, what_the_caller_ignores_stays_ignored)
{
    if (!have_program())
        return;
    signal(SIGHUP, SIG_IGN);
    int code = interrupt_when("r/config.json", 1, SIGHUP, (const char *const[]){
        "simclr", "train", "--arch", "resnet18", "--width", "0.25", "--image-size", "8", "--stem", "cifar", "--batch-size", "8", "--limit", "80",
        "--out-dim", "16", "--threads", "1", "--epochs", "2", "-o", "r", NULL});
    cr_expect_eq(code, 0);
}

/* simclr train | head -n 1 */
Test(stop, a_reader_that_goes_away_ends_nothing)
{
    if (!have_program())
        return;
    char command[sizeof binary + 256];
    snprintf(command, sizeof command, "(%s train -o r --epochs 3 " TINY " 2>out.txt; echo $? >code.txt) | head -n 1 >first.txt", binary);
    cr_assert_eq(system(command), 0);
    cr_expect_eq(system("test $(cat code.txt) = 0 && test $(wc -l <r/metrics.jsonl) = 3 && test $(wc -l <first.txt) = 1"), 0);
    cr_expect(says("^simclr: the progress cannot be shown any more (Broken pipe); the work goes on"));
    cr_expect_eq(system("test $(wc -l <out.txt) = 1"), 0, "told once");
}
