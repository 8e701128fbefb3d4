/* The program as a user runs it, in a folder of the test's own. SIMCLR_BIN names it; without it build/simclr. */
#ifndef TESTS_PROGRAM_H
#define TESTS_PROGRAM_H

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

/* A run of 5 steps an epoch. */
#define TINY "--arch resnet18 --width 0.25 --image-size 8 --stem cifar --batch-size 8 --limit 40 --out-dim 16 --augment cifar --threads 1"

extern char binary[4096], output[1 << 16];

/* Finds the program and makes the folder the working one; false (and a warning) when there is none. leave_program removes the folder. */
bool have_program(void);
void leave_program(void);

/* Runs it with arguments (for a shell); output is what it printed, errors included. Returns its exit code. */
int run(const char *arguments);
void expect_output(const char *arguments, const char *what);
/* A sentence on stderr that begins with the program's name, names `what`, and is one line. */
void expect_refusal(const char *arguments, int code, const char *what);

bool same_files(const char *a, const char *b);
bool same_metrics(const char *a, const char *b); /* of two runs, without what was timed */

/* Runs it beside the test, its output in out.txt. end_of waits for its exit code, or minus the signal that ended it, and fills in
 * what it used. */
extern struct rusage used;
pid_t start(const char *const argv[]);
int end_of(pid_t child);
void wait_for_file(const char *file, off_t bytes); /* until it is there, and so long; a minute at most */
void pause_for(double seconds);

/* Processor time so far, which other work on the machine does not lengthen, and a wait for so much more of it. */
double cpu_seconds(pid_t child);
void wait_for_work(pid_t child, double seconds);

/* Starts it and sends it `signal` once the file has that many bytes; returns as end_of does. */
int interrupt_when(const char *file, off_t bytes, int signal, const char *const argv[]);

#endif
