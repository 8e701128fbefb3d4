/* The program's subcommands and what they share. Only src/cli prints and returns exit codes: 0 done, 1 failed, 2 misused,
 * 128 + n stopped by signal n. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/engine.h"
#include "cli/options.h"
#include "simclr/status.h"
#include "train/config.h"

#include <stdbool.h>

enum exit_code { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_MISUSED = 2 };

/* Each takes its own argv: argv[0] is the subcommand. */
int cmd_train(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_pack(int argc, char **argv);
int cmd_preview(int argc, char **argv);
int cmd_eval(int argc, char **argv);
int cmd_finetune(int argc, char **argv);
int cmd_predict(int argc, char **argv);
int cmd_embed(int argc, char **argv);
int cmd_search(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_isa(int argc, char **argv);
int cmd_selftest(int argc, char **argv);
int cmd_completion(int argc, char **argv);
int cmd_man(int argc, char **argv);

struct command {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
    bool computes; /* for long, and with threads */
};
const struct command *cli_commands(size_t *count);

/* Prints "simclr: sentence" to stderr and returns the exit code that belongs to status. */
int cli_fail(enum simclr_status status, const struct simclr_error *err);

/* Kernels by isa (from --isa, or NULL: SIMCLR_ISA, else the best); threads 0: what affinity and quota allow. An ISA that is unknown
 * or cannot run here is SIMCLR_ERR_USAGE with the list of those that can. */
enum simclr_status cli_engine(struct engine *engine, const char *isa, int threads, struct simclr_error *err);

/* The same for work that signals stop: cli_catch_stop, and the engine asks cli_stopped. */
enum simclr_status cli_engine_until_stopped(struct engine *engine, const char *isa, int threads, struct simclr_error *err);

/* The option of a setting, and what it does: train_setting_set on its target, a struct train_config. */
struct option cli_setting(const struct setting *setting, struct train_config *config);
option_set_fn cli_set_setting;

extern const struct option_range cli_threads_range;

/* --threads, --isa and --help; returns how many. */
enum { CLI_COMMON_OPTIONS = 3 };
size_t cli_common_options(struct option options[CLI_COMMON_OPTIONS], const char *group, int *threads, const char **isa, bool *help);

/* What is used without DATA: the folder if it is there, else the generated set (""). */
#define CLI_DEFAULT_DATA "data/stl10_binary"
void cli_default_data(struct train_config *config);

/* From here on the first of SIGINT (Ctrl-C), SIGTERM and SIGHUP only makes cli_stopped true; the second one, of any kind, kills. */
void cli_catch_stop(void);
bool cli_stopped(void *ignored); /* as struct stop asks */
int cli_stop_code(void); /* the exit code of a program that was stopped: 128 + the signal's number, as a shell has it */

#endif
