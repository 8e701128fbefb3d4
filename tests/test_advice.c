/* Advice on settings and on runs that collapse; presets. */
#include "train/advice.h"
#include "train/config.h"
#include "train/presets.h"

#include "tests/program.h"
#include "tests/temp_files.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(advice, .fini = leave_program, .timeout = 120);

/* Settings as text, over the defaults; a size and a stem as the data would have settled them. */
static struct train_config config_of(const char *const (*settings)[2])
{
    struct train_config c;
    struct simclr_error err;
    train_defaults(&c);
    for (; (*settings)[0]; settings++)
        cr_assert_eq(train_setting_set(&c, train_setting_find((*settings)[0]), (*settings)[1], "", &err), SIMCLR_OK, "%s", err.text);
    if (c.network.image_size == 0)
        c.network.image_size = 96;
    if (c.network.stem == STEM_AUTO)
        c.network.stem = c.network.image_size <= 64 ? STEM_CIFAR : STEM_IMAGENET;
    return c;
}

/* Each mistake is named, with its remedy; the remedy is taken, and nothing is left to say. */
Test(advice, mistakes_and_remedies)
{
    static const struct {
        const char *mistake[5][2], *remedy, *value;
    } cases[] = {
        {{{"image-size", "32"}}, "augment", "cifar"},
        {{{"image-size", "64"}, {"stem", "imagenet"}}, "stem", "cifar"},
        {{{"channels", "1"}, {"saturation", "0"}, {"hue", "0"}}, "grey-p", "0"},
        {{{"augment", "none"}}, "augment", "paper"},
        {{{"jitter-p", "0"}}, "jitter-p", "0.8"},
        {{{"batch-size", "16"}}, "batch-size", "64"},
        {{{"micro-batch", "4"}}, "micro-batch", "8"},
        {{{"lr", "0.06"}}, "lr", "3e-4"},
        {{{"lr", "0.003"}}, "lr", "3e-4"},
        {{{"optimizer", "sgd"}}, "lr", "0.06"},
        {{{"optimizer", "lars"}, {"warmup-epochs", "5"}}, "lr", "0.3"},
        {{{"optimizer", "lars"}, {"lr", "0.3"}}, "warmup-epochs", "5"},
    };
    const char *seen[sizeof cases / sizeof *cases];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct train_config c = config_of(cases[i].mistake);
        int at = 0;
        const char *advice = advice_next(&c, &at), *more = advice_next(&c, &at);
        char option[40];
        snprintf(option, sizeof option, "--%s", cases[i].remedy);
        cr_assert(advice && strstr(advice, option), "case %zu: %s", i, advice ? advice : "nothing");
        cr_expect_null(more, "case %zu: %s", i, more);
        cr_expect_leq(strlen("advice: ") + strlen(advice), (size_t)ADVICE_COLUMNS, "%s", advice);
        for (size_t j = 0; j < i; j++)
            cr_expect_neq(seen[j], advice, "cases %zu and %zu", i, j);
        seen[i] = advice;
        struct simclr_error err;
        cr_assert_eq(train_setting_set(&c, train_setting_find(cases[i].remedy), cases[i].value, "", &err), SIMCLR_OK);
        at = 0;
        cr_expect_null(advice_next(&c, &at), "case %zu", i);
    }
}

Test(advice, there_is_none_on_presets)
{
    for (const struct preset *p = presets; p->name; p++) {
        struct simclr_error err;
        struct train_config c = config_of((const char *const[][2]){{NULL, NULL}});
        cr_assert_eq(preset_apply(&c, p->name, "--preset", &err), SIMCLR_OK, "%s", err.text);
        if (strcmp(p->name, "cifar10") == 0) {
            c.network.image_size = 32;
            c.network.stem = STEM_CIFAR;
        }
        int at = 0;
        cr_expect_null(advice_next(&c, &at), "%s", p->name);
    }
}

Test(advice, a_preset_is_known_by_its_settings)
{
    for (const struct preset *p = presets; p->name; p++) {
        struct simclr_error err;
        struct train_config c;
        train_defaults(&c);
        cr_assert_eq(preset_apply(&c, p->name, "--preset", &err), SIMCLR_OK, "%s", err.text);
        cr_assert_eq(train_config_settle(&c, &err), SIMCLR_OK, "%s", err.text);
        cr_assert_not_null(preset_of(&c));
        cr_expect_str_eq(preset_of(&c)->name, p->name);
        c.epochs++;
        cr_expect_null(preset_of(&c));
    }
}

Test(advice, collapse)
{
    struct epoch_figures e = {.loss = 3, .floor = 1, .ceiling = 5, .uniformity = -2, .warm_steps = 1000, .images = 1000};
    cr_expect_null(advice_on_collapse(&e));
    e.loss = 4.97;
    cr_expect_not_null(strstr(advice_on_collapse(&e), "at its ceiling"));
    e.images = 40; /* of whose views the loss is a matter of chance */
    cr_expect_null(advice_on_collapse(&e));
    e.uniformity = -0.001;
    cr_expect_not_null(strstr(advice_on_collapse(&e), "collapse: "));
    e.warm_steps = 49;
    cr_expect_null(advice_on_collapse(&e));
}

/* Over --config's file, under the options, whatever their order; config.json has the settings. */
Test(advice, presets_on_the_command_line)
{
    if (!have_program())
        return;
    expect_output("train --epochs 1 --limit 40 " TINY " --optimizer adam --preset cifar10 -o r", "advice: this learning rate suits sgd");
    cr_expect_eq(system("grep -q '\"optimizer\": \"adam\"' r/config.json && grep -q '\"lr\": 0.06' r/config.json && "
                        "grep -q '\"weight_decay\": 0.0005' r/config.json && grep -q '\"epochs\": 1,' r/config.json"), 0);
    expect_output("train --preset reference --config r/config.json --epochs 1 " TINY " -o s", "run folder: s");
    cr_expect_eq(system("grep -q '\"lr\": 0.0003' s/config.json"), 0);
    cr_expect_null(strstr(output, "suits sgd"), "%s", output);
    expect_output("train -o r --resume --preset cifar10 --epochs 1 --optimizer adam --limit 40 " TINY, "the run was complete");
    cr_expect_null(strstr(output, "advice: "), "only as a run begins: %s", output);
    expect_refusal("train --preset cifar", 2, "--preset: 'cifar' is not one of cifar10, stl10, reference, folder");
}

/* Images that are all the same: the loss stays at its ceiling whatever is learned. */
Test(advice, a_run_on_equal_images_is_told_to_have_collapsed)
{
    if (!have_program())
        return;
    write_gradient(temp_path(".", "same/0.bmp"), 8, 8, 1);
    cr_assert_eq(system("for i in $(seq 1 39); do cp same/0.bmp same/$i.bmp; done"), 0);
    expect_output("train same --knn-every 0 --epochs 13 -o r " TINY " --augment none", "epoch 13/13");
    const char *first = strstr(output, "simclr: collapse: all images get nearly the same projection; train anew");
    cr_assert_not_null(first, "%s", output);
    cr_expect_null(strstr(first + 20, "collapse: "), "once: %s", output);
}

static char *read_text(const char *path)
{
    static char texts[3][1 << 17];
    static int next;
    char *text = texts[next++ % 3];
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f, "%s", path);
    text[fread(text, 1, sizeof texts[0] - 1, f)] = 0;
    fclose(f);
    return text;
}

/* Whether begin + name is in the text, and then one of `ends`. */
static bool has_word(const char *text, const char *begin, const char *name, const char *ends)
{
    char word[128];
    int length = snprintf(word, sizeof word, "%s%s", begin, name);
    for (const char *at = text; (at = strstr(at, word)); at++)
        if (strchr(ends, at[length]))
            return true;
    return false;
}

/* What --help and --help-all show is what is completed, and stands in the manual. */
Test(advice, completion_and_manual_have_every_option)
{
    static char help[sizeof output];
    const char *const commands[] = {"train --help-all", "plan --help-all", "search --help", "export --help"};
    if (!have_program())
        return;
    cr_assert_eq(run("completion bash >c.bash && bash -n c.bash"), 0, "%s", output);
    cr_assert_eq(run("completion zsh >c.zsh"), 0, "%s", output);
    cr_assert_eq(run("man >simclr.1"), 0, "%s", output);
    cr_assert_eq(system("sed 's/\\\\-/-/g' simclr.1 >plain.1"), 0);
    const char *bash = read_text("c.bash"), *zsh = read_text("c.zsh"), *man = read_text("plain.1");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char begin[32];
        snprintf(begin, sizeof begin, "\n    %.*s)", (int)strcspn(commands[i], " "), commands[i]);
        const char *in_bash = strstr(bash, begin), *in_zsh = strstr(zsh, begin);
        cr_assert(in_bash && in_zsh, "%s", begin);
        cr_assert_eq(run(commands[i]), 0);
        memcpy(help, output, sizeof help);
        int options = 0;
        for (char *line = strtok(help, "\n"); line; line = strtok(NULL, "\n")) {
            char name[64];
            const char *dashes = strncmp(line, "  -", 3) == 0 || strncmp(line, "      --", 8) == 0 ? strstr(line, "--") : NULL;
            if (!dashes || sscanf(dashes, "--%60[-a-z0-9]", name) != 1)
                continue;
            cr_expect(has_word(in_bash, " --", name, " \"") || has_word(in_bash, "\"--", name, " \""), "bash, %s: --%s", commands[i], name);
            cr_expect(has_word(in_zsh, "'--", name, "=["), "zsh, %s: --%s", commands[i], name);
            cr_expect(has_word(man, "\\fB--", name, "\\"), "manual, %s: --%s", commands[i], name);
            options++;
        }
        cr_expect_geq(options, 3);
    }
    cr_expect_eq(system("command -v man >/dev/null || exit 0; test -z \"$(man --warnings -l simclr.1 2>&1 >/dev/null)\""), 0);
    expect_refusal("completion fish", 2, "name the shell");
    expect_refusal("completion", 2, "name the shell");
}

/* bash itself: an option, its value after a space or a sign, a command. */
Test(advice, bash_completes)
{
    static const struct {
        const char *words, *expected;
    } cases[] = {{"simclr ev", "eval"}, {"simclr train --solarize-t", "--solarize-threshold"}, {"simclr train --arch resnet5", "resnet50"},
                 {"simclr train --augment = ref", "reference"}, {"simclr plan --preset st", "stl10"}, {"simclr train fold", ""},
                 {"simclr completion z", "zsh"}};
    if (!have_program())
        return;
    cr_assert_eq(run("completion bash >c.bash"), 0, "%s", output);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char check[512];
        snprintf(check, sizeof check, "bash -c 'source ./c.bash; COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _simclr; "
                 "test \"${COMPREPLY[*]}\" = \"%s\"'", cases[i].words, cases[i].expected);
        cr_expect_eq(system(check), 0, "%s", cases[i].words);
    }
}
