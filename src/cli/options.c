#include "cli/options.h"

#include "base/status.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { WORD = 48, MOST_GIVEN = 256, MOST_NAMES = 512 };

/* ---- Near misses ---- */

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* Edits between two short words: insertions, deletions, changes and swaps of neighbours. */
static int distance(const char *a, const char *b)
{
    int n = (int)strlen(a), m = (int)strlen(b), d[WORD + 1][WORD + 1];
    if (n > WORD || m > WORD)
        return WORD;
    for (int i = 0; i <= n; i++)
        d[i][0] = i;
    for (int j = 0; j <= m; j++)
        d[0][j] = j;
    for (int i = 1; i <= n; i++)
        for (int j = 1; j <= m; j++) {
            int change = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            d[i][j] = least(change, 1 + least(d[i - 1][j], d[i][j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[n][m];
}

const char *nearest_word(const char *text, const char *const *candidates, size_t count)
{
    const char *best = NULL;
    int best_distance = 1 + (int)strlen(text) / 3; /* further away nothing is meant */
    for (size_t i = 0; i < count; i++) {
        int d = distance(text, candidates[i]);
        bool longer_form = strlen(text) >= 3 && strncmp(candidates[i], text, strlen(text)) == 0;
        if (longer_form)
            d = least(d, 1);
        if (d < best_distance || (d == best_distance && !best)) {
            best = candidates[i];
            best_distance = d;
        }
    }
    return best;
}

/* ---- Parsing ---- */

static const struct option *find_long(const struct option *options, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(options[i].name, name) == 0 || (options[i].alias && strcmp(options[i].alias, name) == 0))
            return &options[i];
    return NULL;
}

static const struct option *find_letter(const struct option *options, size_t count, char letter)
{
    for (size_t i = 0; i < count; i++)
        if (options[i].letter && options[i].letter == letter)
            return &options[i];
    return NULL;
}

static enum simclr_status unknown(const char *argument, const char *name, const struct option *options, size_t count,
                                  const char *command, struct simclr_error *err)
{
    const char *names[MOST_NAMES];
    size_t n = 0;
    for (size_t i = 0; i < count && n + 2 <= MOST_NAMES; i++) {
        names[n++] = options[i].name;
        if (options[i].alias)
            names[n++] = options[i].alias;
    }
    const char *near = nearest_word(name, names, n);
    if (near)
        return fail(err, SIMCLR_ERR_USAGE, "unknown option %.80s; did you mean --%s?", argument, near);
    return fail(err, SIMCLR_ERR_USAGE, "unknown option %.80s; '%s --help' lists the options", argument, command);
}

struct given {
    const struct option *option;
    const char *text;
    char label[WORD + 8];
};

struct parse {
    const struct option *options;
    size_t count;
    const char *command;
    int argc, at;
    char **argv;
    struct given given[MOST_GIVEN];
    size_t given_count;
};

static enum simclr_status remember(struct parse *p, const struct option *option, const char *text, const char *dashes,
                                   const char *name, struct simclr_error *err)
{
    if (p->given_count == MOST_GIVEN)
        return fail(err, SIMCLR_ERR_USAGE, "more than %d options were given", MOST_GIVEN);
    struct given *g = &p->given[p->given_count++];
    g->option = option;
    snprintf(g->label, sizeof g->label, "%s%s", dashes, name);
    if (!text && !option->value)
        text = "true";
    if (!text) {
        if (p->at + 1 >= p->argc)
            return fail(err, SIMCLR_ERR_USAGE, "%s needs a value (%s)", g->label, option->value);
        text = p->argv[++p->at];
        if (strncmp(text, "--", 2) == 0)
            return fail(err, SIMCLR_ERR_USAGE, "%s needs a value (%s), and %.80s is an option; write %s=VALUE if it is meant", g->label,
                        option->value, text, g->label);
    }
    g->text = text;
    return SIMCLR_OK;
}

static enum simclr_status parse_long(struct parse *p, const char *argument, struct simclr_error *err)
{
    char name[WORD + 1];
    const char *equals = strchr(argument, '='), *text = equals ? equals + 1 : NULL;
    size_t length = (equals ? (size_t)(equals - argument) : strlen(argument)) - 2;
    char spelled[WORD + 8];
    snprintf(spelled, sizeof spelled, "%.*s", (int)length + 2, argument);
    if (length > WORD)
        return fail(err, SIMCLR_ERR_USAGE, "unknown option %.50s...; '%s --help' lists the options", argument, p->command);
    for (size_t i = 0; i < length; i++)
        name[i] = (char)(argument[i + 2] == '_' ? '-' : argument[i + 2]);
    name[length] = 0;
    const struct option *option = find_long(p->options, p->count, name);
    if (!option && strncmp(name, "no-", 3) == 0) {
        option = find_long(p->options, p->count, name + 3);
        if (option && !option->value && !text)
            text = "false";
        else
            option = NULL;
    }
    if (!option)
        return unknown(spelled, name, p->options, p->count, p->command, err);
    return remember(p, option, text, "--", name, err);
}

static enum simclr_status parse_letters(struct parse *p, const char *argument, struct simclr_error *err)
{
    for (const char *c = argument + 1; *c; c++) {
        const struct option *option = find_letter(p->options, p->count, *c);
        char name[2] = {*c, 0};
        if (!option)
            return unknown(argument, argument + 1, p->options, p->count, p->command, err);
        bool attached = option->value && c[1];
        enum simclr_status status = remember(p, option, attached ? c + 1 + (c[1] == '=') : NULL, "-", name, err);
        if (status != SIMCLR_OK || attached)
            return status;
    }
    return SIMCLR_OK;
}

static enum simclr_status apply(const struct parse *p, struct simclr_error *err)
{
    for (int rank = 0, last = 0; rank <= last; rank++)
        for (size_t i = 0; i < p->given_count; i++) {
            const struct given *g = &p->given[i];
            if (g->option->rank > last)
                last = g->option->rank;
            if (g->option->rank != rank)
                continue;
            enum simclr_status status = g->option->set(g->option, g->text, g->label, err);
            if (status != SIMCLR_OK)
                return status;
        }
    return SIMCLR_OK;
}

enum simclr_status options_parse(int argc, char **argv, const struct option *options, size_t count, const char *command,
                                 const char **rest, size_t most, size_t *rest_count, struct simclr_error *err)
{
    struct parse p = {.options = options, .count = count, .command = command, .argc = argc, .argv = argv};
    bool only_rest = false;
    *rest_count = 0;
    for (p.at = 1; p.at < argc; p.at++) {
        const char *argument = argv[p.at];
        enum simclr_status status = SIMCLR_OK;
        if (!only_rest && strcmp(argument, "--") == 0)
            only_rest = true;
        else if (!only_rest && strncmp(argument, "--", 2) == 0)
            status = parse_long(&p, argument, err);
        else if (!only_rest && argument[0] == '-' && argument[1])
            status = parse_letters(&p, argument, err);
        else if (*rest_count == most)
            status = fail(err, SIMCLR_ERR_USAGE, "unexpected argument '%.200s'; '%s --help' shows the usage", argument, command);
        else
            rest[(*rest_count)++] = argument;
        if (status != SIMCLR_OK)
            return status;
    }
    return apply(&p, err);
}

/* ---- Help ---- */

static void print_option(FILE *out, const struct option *o)
{
    enum { COLUMN = 32 };
    char left[128];
    int n = o->letter ? snprintf(left, sizeof left, "  -%c, --%s", o->letter, o->name)
                      : snprintf(left, sizeof left, "      --%s", o->name);
    if (o->alias)
        n += snprintf(left + n, sizeof left - (size_t)n, ", --%s", o->alias);
    if (o->value)
        n += snprintf(left + n, sizeof left - (size_t)n, " %s", o->value);
    if (n < COLUMN)
        fprintf(out, "%-*s%s\n", COLUMN, left, o->help);
    else
        fprintf(out, "%s\n%*s%s\n", left, COLUMN, "", o->help);
}

static options_reader_fn *reader;
static void *reader_ctx;

void options_read(options_reader_fn *fn, void *ctx)
{
    reader = fn;
    reader_ctx = ctx;
}

void options_help(FILE *out, const struct option *options, size_t count)
{
    const char *group = "";
    if (reader) {
        reader(reader_ctx, options, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (options[i].more)
            continue;
        if (strcmp(options[i].group, group) != 0)
            fprintf(out, "\n%s:\n", options[i].group);
        group = options[i].group;
        print_option(out, &options[i]);
    }
}

/* ---- Setters ---- */

enum simclr_status option_text(const struct option *option, const char *text, const char *label, struct simclr_error *err)
{
    if (!text[0])
        return fail(err, SIMCLR_ERR_USAGE, "%s needs a value (%s)", label, option->value);
    *(const char **)option->target = text;
    return SIMCLR_OK;
}

enum simclr_status option_switch(const struct option *option, const char *text, const char *label, struct simclr_error *err)
{
    bool yes = strcmp(text, "true") == 0;
    if (!yes && strcmp(text, "false") != 0)
        return fail(err, SIMCLR_ERR_USAGE, "%s: '%.80s' is not true or false", label, text);
    *(bool *)option->target = yes;
    return SIMCLR_OK;
}

enum simclr_status option_int(const struct option *option, const char *text, const char *label, struct simclr_error *err)
{
    const struct option_range *range = option->data;
    char *end;
    long n = strtol(text, &end, 10);
    if (end == text || *end)
        return fail(err, SIMCLR_ERR_USAGE, "%s: '%.80s' is not a whole number", label, text);
    if (n < range->low || n > range->high)
        return fail(err, SIMCLR_ERR_USAGE, "%s: %.80s is out of range; it must lie between %d and %d", label, text, range->low, range->high);
    *(int *)option->target = (int)n;
    return SIMCLR_OK;
}

enum simclr_status option_bytes(const struct option *option, const char *text, const char *label, struct simclr_error *err)
{
    static const char units[] = "KMG";
    size_t digits = strspn(text, "0123456789.");
    char *end;
    double bytes = strtod(text, &end);
    const char *unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
    if (end != text + digits || digits == 0 || (*end && (!unit || end[1])))
        return fail(err, SIMCLR_ERR_USAGE, "%s: '%.80s' is not a size such as 400M or 1.5G", label, text);
    for (ptrdiff_t power = unit ? unit - units + 1 : 0; power > 0; power--)
        bytes *= 1024;
    if (!(bytes >= 1 && bytes < 1e18))
        return fail(err, SIMCLR_ERR_USAGE, "%s: %.80s is out of range", label, text);
    *(size_t *)option->target = (size_t)bytes;
    return SIMCLR_OK;
}
