/* Memory does not grow: not by step, epoch, evaluation or checkpoint. */
#include "tests/program.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(flat, .fini = leave_program, .timeout = 300);

static long kilobytes(pid_t child, const char *key)
{
    char path[64], line[256];
    long value = -1;
    snprintf(path, sizeof path, "/proc/%ld/status", (long)child);
    FILE *f = fopen(path, "r");
    while (f && value < 0 && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0)
            value = atol(line + strlen(key));
    if (f)
        fclose(f);
    return value;
}

/* 24 epochs of 8 steps of 96 KB of views each, an evaluation and two checkpoints, after two epochs in which all of it happened: a leak
 * of one batch in five steps would show. */
Test(flat, the_peak_of_two_epochs_is_the_peak_of_all)
{
    enum { EPOCHS = 26, LINE = 300, MOST_KILOBYTES = 3000 };
    char epochs[8];
    if (!have_program())
        return;
    cr_assert_eq(run("pack -o p.npy --limit 128 --image-size 16"), 0, "%s", output);
    snprintf(epochs, sizeof epochs, "%d", EPOCHS);
    pid_t child = start((const char *const[]){"simclr", "train", "p.npy", "--arch", "resnet18", "--width", "0.25", "--batch-size", "16",
                                              "--out-dim", "16", "--augment", "paper", "--epochs", epochs, "--checkpoint-every", "4", "--threads",
                                              "2", "-o", "r", NULL});
    wait_for_file("r/metrics.jsonl", 2 * LINE);
    wait_for_file("r/checkpoint-00000016.safetensors", 1);
    long early = kilobytes(child, "VmHWM:");
    cr_assert_eq(end_of(child), 0);
    cr_assert_gt(early, 0, "the run was over too soon");
    cr_expect_lt(used.ru_maxrss - early, MOST_KILOBYTES, "%ld kB grew to %ld", early, used.ru_maxrss);
}
