/* What a user sees: on a terminal of any width nothing wraps, elsewhere there are only plain lines. */
#define _GNU_SOURCE /* posix_openpt */
#include "cli/progress.c"
#include "tests/program.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

TestSuite(terminal, .fini = leave_program, .timeout = 300);

/* Runs the program with its output on a terminal of so many columns; screen receives all that was written there. */
static int run_on_terminal(int wide, const char *const argv[], char *screen, size_t size)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    cr_assert(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    struct winsize window = {.ws_row = 24, .ws_col = (unsigned short)wide};
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    cr_assert(slave >= 0 && ioctl(slave, TIOCSWINSZ, &window) == 0);
    unsetenv("COLUMNS");
    setenv("TERM", "xterm", 1);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        dup2(slave, 1);
        dup2(slave, 2);
        close(master);
        execv(binary, (char *const *)argv);
        _exit(127);
    }
    close(slave);
    size_t used_bytes = 0;
    for (ssize_t n; used_bytes < size - 1 && (n = read(master, screen + used_bytes, size - 1 - used_bytes)) > 0;)
        used_bytes += (size_t)n;
    screen[used_bytes] = 0;
    close(master);
    return end_of(child);
}

/* The longest line, where "\r" begins one anew; ESC [ K shows nothing. */
static int widest(const char *screen, char *line, size_t size)
{
    int width = 0, most = 0;
    const char *from = screen;
    for (const char *c = screen; *c; c++) {
        if (strncmp(c, "\033[K", 3) == 0) {
            c += 2;
        } else if (*c == '\r' || *c == '\n') {
            width = 0;
            from = c + 1;
        } else if (++width > most) {
            most = width;
            snprintf(line, size, "%.*s", (int)(c + 1 - from), from);
        }
    }
    return most;
}

Test(terminal, nothing_is_wider_than_the_terminal)
{
    static char screen[1 << 20];
    char line[512], run_name[16];
    const int widths[] = {80, 60, 40};
    if (!have_program())
        return;
    for (int i = 0; i < 3; i++) {
        snprintf(run_name, sizeof run_name, "r%d", i);
        int code = run_on_terminal(widths[i], (const char *const[]){
            "simclr", "train", "--arch", "resnet18", "--width", "0.25", "--image-size", "16", "--stem", "cifar", "--batch-size", "16", "--limit",
            "160", "--out-dim", "16", "--augment", "cifar", "--threads", "1", "--epochs", "10", "-o", run_name, NULL}, screen, sizeof screen);
        cr_assert_eq(code, 0, "%s", screen);
        cr_expect_not_null(strstr(screen, "\r["), "there is a bar");
        cr_expect_not_null(strstr(screen, "\033[Kepoch 10/10: loss "), "and a line of the last epoch");
        char *bars = strstr(screen, "untrained encoder: "), *end = strstr(screen, "run folder: r");
        end = end ? strstr(end + 1, "run folder: r") : NULL;
        cr_assert(bars && end);
        if (widths[i] == 80)
            bars = screen; /* what begins and ends a run fits as well */
        else
            *end = 0;
        int most = widest(bars, line, sizeof line);
        cr_expect_leq(most, widths[i], "%d columns of %d: %s", most, widths[i], line);
    }
}

Test(terminal, elsewhere_there_are_plain_lines)
{
    if (!have_program())
        return;
    cr_assert_eq(run("train -o r --epochs 2 " TINY), 0, "%s", output);
    for (const char *c = output; *c; c++)
        cr_assert(*c == '\n' || (unsigned char)*c >= ' ', "a control character in: %s", output);
    cr_expect(strstr(output, "data: the generated set\n      40 images to train on, 40 others for kNN, 10 classes\n"), "%s", output);
    cr_expect(strstr(output, "8 px, batch 8, 2 epochs of 5 steps\n"), "%s", output);
}

/* Until everything is checked, there is nothing to tell but what is wrong. */
Test(terminal, a_refused_run_shows_only_the_reason)
{
    if (!have_program())
        return;
    cr_assert_eq(run("train -o r " TINY " --batch-size 64"), 2, "%s", output);
    cr_expect_str_eq(output, "simclr: --batch-size 64 is larger than the set's 40 images; use 40 or less\n");
    cr_assert_eq(run("pack -o p.npy --limit 8"), 0, "%s", output);
    cr_expect_not_null(strstr(output, "no DATA given: packing the generated set of shapes\n"), "%s", output);
}

static int lines_of(const char *text)
{
    int lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

/* 100 columns and, of the commands that simclr --help lists, 40 lines. */
static void expect_fit(const char *arguments, int most_lines)
{
    char line[512];
    cr_assert_eq(run(arguments), 0, "%s", output);
    int most = widest(output, line, sizeof line), lines = lines_of(output);
    cr_expect_leq(most, 100, "%s: %d columns: %s", arguments, most, line);
    cr_expect_leq(lines, most_lines, "%s: %d lines", arguments, lines);
}

Test(terminal, help_fits_100_columns_and_40_lines)
{
    static char list[sizeof output];
    if (!have_program())
        return;
    expect_fit("--help", 40);
    memcpy(list, strstr(output, "Commands:\n"), strlen(strstr(output, "Commands:\n")) + 1);
    int commands = 0;
    for (char *line = strtok(list, "\n"); line; line = strtok(NULL, "\n")) {
        char name[32], arguments[48];
        if (sscanf(line, "  %31s", name) != 1 || strncmp(line, "  ", 2) != 0)
            continue;
        snprintf(arguments, sizeof arguments, "%s --help", name);
        expect_fit(arguments, 40);
        commands++;
    }
    cr_expect_geq(commands, 12);
    expect_fit("train --help-all", 200);
    cr_expect_not_null(strstr(output, "--solarize-p "), "%s", output);
}

/* A loss above its ceiling is on no way to the floor; images a second are those of metrics.jsonl. */
Test(terminal, figures_of_an_epochs_line)
{
    FILE *out = tmpfile();
    struct progress progress = progress_begin(out);
    struct train_progress t = {.epoch = 1, .epochs = 2, .step = 4, .steps = 8, .loss = 3.5, .ceiling = 3.0, .floor = 1.0, .knn = 0.5,
                               .knn_untrained = -1, .images_per_second = 250, .eta_seconds = 75, .data_share = 0.1, .phase = "train"};
    char text[512];
    progress_report(&progress, &t, true);
    t.loss = 1.5;
    progress_report(&progress, &t, true);
    rewind(out);
    text[fread(text, 1, sizeof text - 1, out)] = 0;
    fclose(out);
    cr_expect_str_eq(text, "epoch 1/2: loss 3.5000 (over ceiling), kNN 50.0 %, retrieval@1 0.0 %, 250 images/s, data 10 %, ETA 1:15\n"
                           "epoch 1/2: loss 1.5000 (75 %), kNN 50.0 %, retrieval@1 0.0 %, 250 images/s, data 10 %, ETA 1:15\n");
}
