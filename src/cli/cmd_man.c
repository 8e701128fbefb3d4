/* simclr man: the manual page in roff, of the commands' own help. */
#include "cli/described.h"

#include "base/status.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Text in roff: a hyphen is the one that is typed, and nothing begins a request. */
static void print_text(const char *text, size_t length)
{
    if (length && (text[0] == '.' || text[0] == '\''))
        printf("\\&");
    for (size_t i = 0; i < length; i++) {
        const char *special = text[i] == '\\' ? "\\e" : text[i] == '-' ? "\\-" : text[i] == '\'' ? "\\(aq" : text[i] == '~' ? "\\(ti"
                            : text[i] == '^' ? "\\(ha" : text[i] == '`' ? "\\(ga" : NULL;
        if (special)
            fputs(special, stdout);
        else
            putchar(text[i]);
    }
}

static void print_word(const char *text)
{
    print_text(text, strlen(text));
}

/* Paragraphs are filled; usage lines and what is indented stand as they are. */
static void print_usage(const char *usage)
{
    bool filled = true, blank = false;
    for (const char *line = usage, *end; *line; line = *end ? end + 1 : end) {
        end = line + strcspn(line, "\n");
        bool wanted = line[0] != ' ' && strncmp(line, "Usage:", 6) != 0;
        if (end == line) {
            blank = true;
            continue;
        }
        if (wanted && !filled)
            printf(".fi\n");
        if (blank)
            printf(".PP\n");
        if (!wanted && filled)
            printf(".nf\n");
        filled = wanted;
        blank = false;
        print_text(line, (size_t)(end - line));
        putchar('\n');
    }
    if (!filled)
        printf(".fi\n");
}

static void print_option(const struct option *o)
{
    printf(".TP\n");
    if (o->letter)
        printf("\\fB\\-%c\\fR, ", o->letter);
    printf("\\fB\\-\\-");
    print_word(o->name);
    printf("\\fR");
    if (o->alias) {
        printf(", \\fB\\-\\-");
        print_word(o->alias);
        printf("\\fR");
    }
    if (o->value) {
        printf(" \\fI");
        print_word(o->value);
        printf("\\fR");
    }
    putchar('\n');
    print_word(o->help);
    putchar('\n');
}

static void print_command(const struct command *command, const struct described *d)
{
    printf(".SH SIMCLR ");
    for (const char *c = command->name; *c; c++)
        putchar(toupper((unsigned char)*c));
    putchar('\n');
    print_usage(d->usage);
    for (size_t i = 0; i < d->count; i++) {
        if (i == 0 || strcmp(d->options[i].group, d->options[i - 1].group) != 0) {
            printf(".SS ");
            print_word(d->options[i].group);
            putchar('\n');
        }
        print_option(&d->options[i]);
    }
}

static enum simclr_status print_page(struct simclr_error *err)
{
    static struct described d;
    size_t count;
    const struct command *commands = cli_commands(&count);
    enum simclr_status status = SIMCLR_OK;
    printf(".TH SIMCLR 1 \"\" \"simclr %s\" \"User Commands\"\n"
           ".SH NAME\nsimclr \\- train SimCLR image encoders on the CPU\n"
           ".SH SYNOPSIS\n\\fBsimclr\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR...]\n"
           ".SH COMMANDS\n", SIMCLR_VERSION);
    for (size_t i = 0; i < count; i++) {
        printf(".TP\n\\fB");
        print_word(commands[i].name);
        printf("\\fR\n");
        print_word(commands[i].summary);
        putchar('\n');
    }
    for (size_t i = 0; status == SIMCLR_OK && i < count; i++)
        if ((status = describe(&d, &commands[i], err)) == SIMCLR_OK)
            print_command(&commands[i], &d);
    return status;
}

int cmd_man(int argc, char **argv)
{
    bool help = false;
    const char *rest[1];
    size_t rest_count;
    const struct option options[] = {
        {.name = "help", .letter = 'h', .group = "Options", .set = option_switch, .target = &help, .help = "show this"}};
    struct simclr_error err;
    enum simclr_status status = options_parse(argc, argv, options, 1, "simclr man", rest, 0, &rest_count, &err);
    if (status == SIMCLR_OK && help) {
        printf("Usage: simclr man\n\nPrints the manual page; to read it, 'simclr man | man -l -'.\n");
        options_help(stdout, options, 1);
    } else if (status == SIMCLR_OK) {
        status = print_page(&err);
    }
    return status == SIMCLR_OK ? EXIT_DONE : cli_fail(status, &err);
}
