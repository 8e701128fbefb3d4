/* simclr: the command line. One file a subcommand: cmd_*.c. */
#include "cli/cli.h"
#include "cli/options.h"

#include "base/status.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct command commands[] = {
    {"train", "train an encoder on images without labels", cmd_train, true},
    {"plan", "tell what a run will take, before it is begun: parameters, memory, time", cmd_plan, true},
    {"pack", "decode and resize images once, into a file that train reads as it lies", cmd_pack, true},
    {"preview", "show what the augmentations do to some images, in one picture", cmd_preview, true},
    {"eval", "judge a run's encoder: kNN and a linear probe on its features", cmd_eval, true},
    {"finetune", "train an encoder and a linear classifier on a share of the labels", cmd_finetune, true},
    {"predict", "tell the classes of images with a classifier that finetune trained", cmd_predict, true},
    {"embed", "compute the features of images with a trained encoder, into .npy or CSV", cmd_embed, true},
    {"search", "find the images most like a picture, or near-duplicates", cmd_search, true},
    {"report", "show a run on one HTML page: curves, map, neighbours, views, settings", cmd_report, true},
    {"export", "write a trained encoder as a file that PyTorch or ONNX tools open", cmd_export, false},
    {"replay", "repeat a step whose numbers went wrong, layer by layer", cmd_replay, false},
    {"isa", "show this CPU, the kernels chosen for it, and what each instruction set has", cmd_isa, false},
    {"selftest", "run every kernel and a few training steps against known hashes", cmd_selftest, false},
    {"completion", "print what has bash or zsh complete commands, options and values", cmd_completion, false},
    {"man", "print the manual page", cmd_man, false},
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

const struct command *cli_commands(size_t *count)
{
    *count = COMMANDS;
    return commands;
}

int cli_fail(enum simclr_status status, const struct simclr_error *err)
{
    fflush(stdout);
    fprintf(stderr, "simclr: %s\n", err->text);
    if (status == SIMCLR_ERR_CANCELLED)
        return cli_stop_code();
    return status == SIMCLR_ERR_USAGE ? EXIT_MISUSED : EXIT_FAILED;
}

static void usage(FILE *out)
{
    fprintf(out, "Usage: simclr COMMAND [OPTION...]\n\n"
                 "Trains SimCLR image encoders on the CPU.\n\n"
                 "Commands:\n");
    for (int i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-12s%s\n", commands[i].name, commands[i].summary);
    fprintf(out, "\n'simclr COMMAND --help' shows a command's options, 'simclr --version' the version.\n");
}

static int unknown_command(const char *name)
{
    const char *names[COMMANDS];
    for (int i = 0; i < COMMANDS; i++)
        names[i] = commands[i].name;
    const char *near = nearest_word(name, names, COMMANDS);
    struct simclr_error err;
    return cli_fail(near ? fail(&err, SIMCLR_ERR_USAGE, "unknown command '%.80s'; did you mean %s?", name, near)
                         : fail(&err, SIMCLR_ERR_USAGE, "unknown command '%.80s'; 'simclr --help' lists the commands", name), &err);
}

/* OpenMP's threads spin while they wait, which on a machine with other work costs far more than it saves: two spinning threads beside
 * two busy processes did a fifth of the steps that two sleeping ones did. Its runtime reads the wish to sleep before main runs, so
 * the program starts itself once more with it. Where that is not possible (an emulator) it goes on as it is. */
static void sleep_while_waiting(char **argv)
{
    char self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (getenv("OMP_WAIT_POLICY") || length <= 0 || setenv("OMP_WAIT_POLICY", "passive", 1))
        return;
    self[length] = 0;
    execv(self, argv);
}

/* glibc keeps freed blocks of up to 32 MB, more after each: at the peak of a run 5 to 30 MB that nobody uses. From here on large ones go
 * back to the system at once. */
static void return_freed_memory(void)
{
#ifdef M_MMAP_THRESHOLD
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    mallopt(M_TRIM_THRESHOLD, 1 << 21);
#endif
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        usage(stderr);
        return EXIT_MISUSED;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        usage(stdout);
        return EXIT_DONE;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        printf("simclr %s\n", SIMCLR_VERSION);
        return EXIT_DONE;
    }
    return_freed_memory();
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0) {
            if (commands[i].computes)
                sleep_while_waiting(argv);
            return commands[i].run(argc - 1, argv + 1);
        }
    return unknown_command(name);
}
