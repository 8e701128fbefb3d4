/* Command lines: GNU spelling, near misses, and a sentence for whatever is wrong. */
#include "cli/options.c"

#include <criterion/criterion.h>

static const char *text, *rest[2];
static bool flag;
static int threads;
static size_t bytes;
static char order[16];
static size_t rest_count;
static struct simclr_error err;

static enum simclr_status note(const struct option *option, const char *value, const char *label, struct simclr_error *e)
{
    (void)value, (void)label, (void)e;
    strncat(order, option->name, 1);
    return SIMCLR_OK;
}

static const struct option table[] = {
    {.name = "batch-size", .alias = "bs", .letter = 'b', .group = "G", .value = "N", .set = option_text, .target = &text, .help = "h"},
    {.name = "nesterov", .letter = 'n', .group = "G", .set = option_switch, .target = &flag, .help = "h"},
    {.name = "threads", .group = "G", .value = "N", .set = option_int, .target = &threads, .data = &(struct option_range){1, 1024}, .help = "h"},
    {.name = "memory", .group = "G", .value = "SIZE", .set = option_bytes, .target = &bytes, .help = "h"},
    {.name = "early", .group = "G", .value = "X", .set = note, .rank = 0, .help = "h"},
    {.name = "late", .group = "H", .value = "X", .set = note, .rank = 1, .help = "h"},
};

static enum simclr_status parse(const char *line)
{
    static char copy[1024], *argv[64];
    int argc = 0;
    text = NULL;
    flag = false;
    threads = 0;
    order[0] = 0;
    err.text[0] = 0;
    argv[argc++] = "test";
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    return options_parse(argc, argv, table, sizeof table / sizeof table[0], "simclr test", rest, 2, &rest_count, &err);
}

static void expect_text(const char *line, const char *value)
{
    cr_assert_eq(parse(line), SIMCLR_OK, "%s: %s", line, err.text);
    cr_assert(text && strcmp(text, value) == 0, "%s: got %s", line, text ? text : "nothing");
}

static void expect_error(const char *line, const char *sentence)
{
    cr_assert_eq(parse(line), SIMCLR_ERR_USAGE, "%s was taken", line);
    cr_assert_str_eq(err.text, sentence);
}

Test(options, sizes_are_in_powers_of_1024)
{
    static const struct {
        const char *line;
        size_t bytes;
    } good[] = {{"--memory 400M", (size_t)400 << 20}, {"--memory 1.5G", (size_t)3 << 29}, {"--memory=64k", 65536}, {"--memory 4096", 4096}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        cr_assert_eq(parse(good[i].line), SIMCLR_OK, "%s", err.text);
        cr_expect_eq(bytes, good[i].bytes, "%s: %zu", good[i].line, bytes);
    }
    expect_error("--memory 12Q", "--memory: '12Q' is not a size such as 400M or 1.5G");
    expect_error("--memory=-1G", "--memory: '-1G' is not a size such as 400M or 1.5G");
    expect_error("--memory 400MB", "--memory: '400MB' is not a size such as 400M or 1.5G");
    expect_error("--memory nan", "--memory: 'nan' is not a size such as 400M or 1.5G");
    expect_error("--memory M", "--memory: 'M' is not a size such as 400M or 1.5G");
    expect_error("--memory 0", "--memory: 0 is out of range");
    expect_error("--memory 99999999999G", "--memory: 99999999999G is out of range");
}

Test(options, spellings)
{
    expect_text("--batch-size=32", "32");
    expect_text("--batch-size 32", "32");
    expect_text("--batch_size=32", "32");
    expect_text("--batch_size 32", "32");
    expect_text("--bs=32", "32");
    expect_text("-b 32", "32");
    expect_text("-b32", "32");
    expect_text("-b=32", "32");
    expect_text("-nb32", "32");
    cr_assert(flag);
    expect_text("-b 1 -b 2", "2"); /* the last one counts */
    expect_text("--batch-size=a=b", "a=b");
    expect_text("--batch-size -1", "-1");
    expect_text("--batch-size=--x", "--x");
}

Test(options, switches)
{
    cr_assert(parse("--nesterov") == SIMCLR_OK && flag);
    cr_assert(parse("--nesterov --no-nesterov") == SIMCLR_OK && !flag);
    cr_assert(parse("--nesterov=true") == SIMCLR_OK && flag);
    cr_assert(parse("--nesterov=false") == SIMCLR_OK && !flag);
    expect_error("--nesterov=maybe", "--nesterov: 'maybe' is not true or false");
    cr_assert_eq(parse("--no-batch-size"), SIMCLR_ERR_USAGE);
}

Test(options, others)
{
    cr_assert_eq(parse("DATA --threads 2 more"), SIMCLR_OK);
    cr_assert(rest_count == 2 && strcmp(rest[0], "DATA") == 0 && strcmp(rest[1], "more") == 0 && threads == 2);
    cr_assert_eq(parse("-- --threads"), SIMCLR_OK);
    cr_assert(rest_count == 1 && strcmp(rest[0], "--threads") == 0);
    cr_assert(parse("-") == SIMCLR_OK && rest_count == 1);
    cr_assert(parse("") == SIMCLR_OK && rest_count == 0);
    expect_error("a b c", "unexpected argument 'c'; 'simclr test --help' shows the usage");
}

Test(options, ranks_decide_the_order)
{
    cr_assert_eq(parse("--late 1 --early 2 --late 3"), SIMCLR_OK);
    cr_assert_str_eq(order, "ell");
}

Test(options, near_misses)
{
    expect_error("--batchsize 3", "unknown option --batchsize; did you mean --batch-size?");
    expect_error("--batch 3", "unknown option --batch; did you mean --batch-size?");
    expect_error("--thraeds=3", "unknown option --thraeds; did you mean --threads?");
    expect_error("-threads 3", "unknown option -threads; did you mean --threads?");
    expect_error("--momentum 3", "unknown option --momentum; 'simclr test --help' lists the options");
    expect_error("-x", "unknown option -x; 'simclr test --help' lists the options");
    cr_assert_eq(parse("--a-name-that-is-longer-than-any-option-of-this-program-will-ever-be"), SIMCLR_ERR_USAGE);
}

Test(options, missing_and_malformed_values)
{
    expect_error("--batch-size", "--batch-size needs a value (N)");
    expect_error("-b", "-b needs a value (N)");
    expect_error("--batch-size --nesterov",
                 "--batch-size needs a value (N), and --nesterov is an option; write --batch-size=VALUE if it is meant");
    expect_error("--batch-size=", "--batch-size needs a value (N)");
    expect_error("--threads x", "--threads: 'x' is not a whole number");
    expect_error("--threads 0", "--threads: 0 is out of range; it must lie between 1 and 1024");
    expect_error("--threads 2x", "--threads: '2x' is not a whole number");
}

Test(options, more_options_than_anyone_gives)
{
    static char *argv[1000];
    for (int i = 0; i < 1000; i++)
        argv[i] = "--nesterov";
    cr_assert_eq(options_parse(1000, argv, table, 5, "simclr test", rest, 2, &rest_count, &err), SIMCLR_ERR_USAGE);
}
