/* simclr completion: a script that has bash or zsh complete commands, options and values, of the commands' own tables. */
#include "cli/described.h"

#include "base/status.h"
#include "simd/dispatch.h"
#include "train/presets.h"

#include <stdio.h>
#include <string.h>

static void add_word(char *words, size_t size, const char *word)
{
    size_t used = strlen(words);
    snprintf(words + used, size - used, "%s%s", used ? " " : "", word);
}

/* The words that an option's value can be; "": any text, or a file. */
static void values_of(char *words, size_t size, const struct option *option)
{
    const struct setting *s = train_setting_find(option->name);
    const struct isa_entry *isas;
    size_t count = isa_list(&isas);
    words[0] = 0;
    for (const struct setting_choice *c = s ? s->choices : NULL; c && c->name; c++)
        add_word(words, size, c->name);
    if (s && s->type == SETTING_PRESET)
        add_word(words, size, "paper cifar reference none");
    if (strcmp(option->name, "preset") == 0)
        for (const struct preset *p = presets; p->name; p++)
            add_word(words, size, p->name);
    if (strcmp(option->name, "isa") == 0) {
        add_word(words, size, "auto");
        for (size_t i = 0; i < count; i++)
            add_word(words, size, isas[i].kernels->name);
    }
}

/* ---- bash ---- */

static void bash_command(const struct command *command, const struct described *d)
{
    char values[256];
    printf("    %s)\n        case $prev in\n", command->name);
    for (size_t i = 0; i < d->count; i++) {
        values_of(values, sizeof values, &d->options[i]);
        if (values[0])
            printf("        --%s) words=\"%s\" ;;\n", d->options[i].name, values);
    }
    printf("        *) [[ $cur == -* ]] && words=\"");
    for (size_t i = 0; i < d->count; i++) {
        printf("%s--%s", i ? " " : "", d->options[i].name);
        if (d->options[i].alias)
            printf(" --%s", d->options[i].alias);
    }
    bool shells = strcmp(command->name, "completion") == 0; /* the only words that are arguments */
    printf("\"%s ;;\n        esac ;;\n", shells ? " || words=\"bash zsh\"" : "");
}

/* bash takes --name=value for three words. Where there is no word to offer it completes files. */
static const char bash_begin[] =
    "# bash completion of simclr: source <(simclr completion bash)\n"
    "_simclr() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} words=\n"
    "    if [[ $cur == = ]]; then cur=; elif [[ $prev == = ]]; then prev=${COMP_WORDS[COMP_CWORD - 2]}; fi\n"
    "    if ((COMP_CWORD == 1)); then words=\"";
static const char bash_middle[] =
    "\"\n"
    "    else case ${COMP_WORDS[1]} in\n";
static const char bash_end[] =
    "    esac; fi\n"
    "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
    "}\n"
    "complete -o default -F _simclr simclr\n";

/* ---- zsh ---- */

/* Within single quotes, in a specification of _arguments or _describe. */
static void zsh_text(const char *text)
{
    for (; *text; text++)
        if (*text == '\'')
            printf("'\\''");
        else
            printf("%s%c", strchr("[]:\\", *text) ? "\\" : "", *text);
}

static void zsh_spelling(const char *dashes, const char *name, const char *joint, const struct option *o)
{
    char values[256];
    values_of(values, sizeof values, o);
    printf(" \\\n            '%s%s%s[", dashes, name, o->value ? joint : "");
    zsh_text(o->help);
    putchar(']');
    if (o->value) {
        putchar(':');
        zsh_text(o->value);
        if (values[0])
            printf(":(%s)", values);
        else
            printf(":_files");
    }
    putchar('\'');
}

static void zsh_command(const struct command *command, const struct described *d)
{
    printf("    %s)\n        _arguments", command->name);
    for (size_t i = 0; i < d->count; i++) {
        const struct option *o = &d->options[i];
        const char letter[2] = {o->letter, 0};
        if (o->letter)
            zsh_spelling("-", letter, "+", o);
        zsh_spelling("--", o->name, "=", o);
        if (o->alias)
            zsh_spelling("--", o->alias, "=", o);
    }
    printf(" \\\n            %s ;;\n", strcmp(command->name, "completion") == 0 ? "'1:shell:(bash zsh)'" : "'*:file:_files'");
}

static const char zsh_begin[] =
    "#compdef simclr\n"
    "# zsh completion of simclr: source <(simclr completion zsh), or a file _simclr in a folder of $fpath\n"
    "_simclr() {\n"
    "    local -a commands=(";
static const char zsh_middle[] =
    ")\n"
    "    if ((CURRENT == 2)); then\n"
    "        _describe command commands\n"
    "        return\n"
    "    fi\n"
    "    shift words\n"
    "    ((CURRENT--))\n"
    "    case $words[1] in\n";
static const char zsh_end[] =
    "    esac\n"
    "}\n"
    "if [[ $funcstack[1] == _simclr ]]; then _simclr \"$@\"; else compdef _simclr simclr; fi\n";

static enum simclr_status print_script(bool zsh, struct simclr_error *err)
{
    static struct described d;
    size_t count;
    const struct command *commands = cli_commands(&count);
    enum simclr_status status = SIMCLR_OK;
    fputs(zsh ? zsh_begin : bash_begin, stdout);
    for (size_t i = 0; i < count; i++) {
        printf(zsh ? "\n        '%s" : "%s", commands[i].name);
        if (zsh) {
            putchar(':');
            zsh_text(commands[i].summary);
            putchar('\'');
        } else if (i + 1 < count) {
            putchar(' ');
        }
    }
    fputs(zsh ? zsh_middle : bash_middle, stdout);
    for (size_t i = 0; status == SIMCLR_OK && i < count; i++)
        if ((status = describe(&d, &commands[i], err)) == SIMCLR_OK)
            (zsh ? zsh_command : bash_command)(&commands[i], &d);
    fputs(zsh ? zsh_end : bash_end, stdout);
    return status;
}

int cmd_completion(int argc, char **argv)
{
    bool help = false;
    const char *shell = NULL;
    size_t rest;
    const struct option options[] = {
        {.name = "help", .letter = 'h', .group = "Options", .set = option_switch, .target = &help, .help = "show this"}};
    struct simclr_error err;
    enum simclr_status status = options_parse(argc, argv, options, 1, "simclr completion", &shell, 1, &rest, &err);
    if (status == SIMCLR_OK && help) {
        printf("Usage: simclr completion bash|zsh\n\n"
               "Prints a script that completes commands, options and their values.\n\n"
               "  source <(simclr completion bash)     for this shell; in ~/.bashrc for each\n"
               "  source <(simclr completion zsh)      after compinit, for this shell; in ~/.zshrc for each\n");
        options_help(stdout, options, 1);
        return EXIT_DONE;
    }
    bool zsh = rest == 1 && strcmp(shell, "zsh") == 0;
    if (status == SIMCLR_OK && !zsh && (rest == 0 || strcmp(shell, "bash") != 0))
        status = fail(&err, SIMCLR_ERR_USAGE, "name the shell: simclr completion bash, or zsh");
    if (status == SIMCLR_OK)
        status = print_script(zsh, &err);
    return status == SIMCLR_OK ? EXIT_DONE : cli_fail(status, &err);
}
