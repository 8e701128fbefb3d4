#define _DEFAULT_SOURCE /* wait4 */
#include "tests/program.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

char binary[4096], output[1 << 16];
struct rusage used;
static char folder[64];

bool have_program(void)
{
    const char *given = getenv("SIMCLR_BIN");
    if (!realpath(given ? given : "build/simclr", binary)) {
        cr_log_warn("skipped: there is no program to run; build it or name it in SIMCLR_BIN");
        return false;
    }
    snprintf(folder, sizeof folder, "/tmp/simclr-cli-XXXXXX");
    cr_assert(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
    unsetenv("SIMCLR_ISA");
    for (int i = 0; i < 3; i++) /* tests in the background may have been started with some ignored */
        signal((int[]){SIGINT, SIGTERM, SIGHUP}[i], SIG_DFL);
    return true;
}

void leave_program(void)
{
    char command[128];
    if (folder[0]) {
        cr_assert_eq(chdir("/"), 0);
        snprintf(command, sizeof command, "rm -rf %s", folder);
        cr_assert_eq(system(command), 0);
    }
}

int run(const char *arguments)
{
    char command[8192];
    snprintf(command, sizeof command, "%s %s 2>&1", binary, arguments);
    FILE *pipe = popen(command, "r");
    cr_assert_not_null(pipe);
    size_t n = fread(output, 1, sizeof output - 1, pipe);
    output[n] = 0;
    int status = pclose(pipe);
    cr_assert(WIFEXITED(status), "%s died: %s", arguments, output);
    return WEXITSTATUS(status);
}

void expect_refusal(const char *arguments, int code, const char *what)
{
    int got = run(arguments);
    cr_expect_eq(got, code, "%s: exit code %d, expected %d: %s", arguments, got, code, output);
    const char *sentence = strstr(output, "simclr: ");
    cr_assert_not_null(sentence, "%s: %s", arguments, output);
    cr_expect(strstr(sentence, what), "%s: expected \"%s\" in: %s", arguments, what, output);
    cr_expect_eq(strcspn(sentence, "\n") + 1, strlen(sentence), "more than a sentence: %s", output);
}

void expect_output(const char *arguments, const char *what)
{
    cr_assert_eq(run(arguments), 0, "%s: %s", arguments, output);
    cr_assert(strstr(output, what), "%s: expected \"%s\" in: %s", arguments, what, output);
}

bool same_files(const char *a, const char *b)
{
    char command[512];
    snprintf(command, sizeof command, "cmp -s %s %s", a, b);
    return system(command) == 0;
}

bool same_metrics(const char *a, const char *b)
{
    char command[512];
    snprintf(command, sizeof command, "sed 's/, .perf.*//' %s/metrics.jsonl >a.txt && sed 's/, .perf.*//' %s/metrics.jsonl >b.txt && "
             "test -s a.txt && cmp -s a.txt b.txt", a, b);
    return system(command) == 0;
}

void pause_for(double seconds)
{
    struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&t, NULL);
}

pid_t start(const char *const argv[])
{
    unlink("out.txt"); /* nobody shall take what the one before said for the child's */
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        int out = open("out.txt", O_WRONLY | O_CREAT | O_TRUNC, 0666);
        dup2(out, 1);
        dup2(out, 2);
        execv(binary, (char *const *)argv);
        _exit(127);
    }
    return child;
}

void wait_for_file(const char *file, off_t bytes)
{
    struct stat st;
    for (int i = 0; i < 6000 && (stat(file, &st) != 0 || st.st_size < bytes); i++)
        pause_for(0.01);
}

double cpu_seconds(pid_t child)
{
    char path[64], state = 0;
    unsigned long user = 0, kernel = 0;
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)child);
    FILE *f = fopen(path, "r");
    cr_assert(f && fscanf(f, "%*d (%*[^)]) %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &state, &user, &kernel) == 3);
    fclose(f);
    cr_assert_neq(state, 'Z', "it ended by itself");
    return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

void wait_for_work(pid_t child, double seconds)
{
    for (double start = cpu_seconds(child); cpu_seconds(child) < start + seconds;)
        pause_for(0.01);
}

int end_of(pid_t child)
{
    int status;
    cr_assert_eq(wait4(child, &status, 0, &used), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int interrupt_when(const char *file, off_t bytes, int signal, const char *const argv[])
{
    pid_t child = start(argv);
    wait_for_file(file, bytes);
    kill(child, signal);
    return end_of(child);
}
