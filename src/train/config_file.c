#include "train/config.h"

#include "base/status.h"
#include "io/file.h"
#include "io/number.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1 << 20 };

void train_setting_key(char key[SETTING_KEY], const struct setting *s)
{
    snprintf(key, SETTING_KEY, "%s", s->name);
    for (char *c = key; *c; c++)
        if (*c == '-')
            *c = '_';
}

static const struct setting *setting_of(const char *key)
{
    size_t count;
    const struct setting *settings = train_settings(&count);
    char known[SETTING_KEY];
    for (size_t i = 0; i < count; i++) {
        train_setting_key(known, &settings[i]);
        if (strcmp(key, known) == 0)
            return &settings[i];
    }
    return NULL;
}

static char *quoted(const char *text)
{
    json_t *string = json_string(text); /* NULL if it is not UTF-8 */
    char *json = json_dumps(string, JSON_ENCODE_ANY);
    json_decref(string);
    return json;
}

static const char *choice_name(const struct setting *s, int value)
{
    for (const struct setting_choice *c = s->choices; c->name; c++)
        if (c->value == value)
            return c->name;
    return "?";
}

char *train_setting_text(const struct train_config *config, const struct setting *s)
{
    const void *at = (const char *)config + s->offset;
    char text[64] = "";
    switch (s->type) {
    case SETTING_INT:
        snprintf(text, sizeof text, "%d", *(const int *)at);
        break;
    case SETTING_SIZE:
        snprintf(text, sizeof text, "%zu", *(const size_t *)at);
        break;
    case SETTING_U64:
        snprintf(text, sizeof text, "%" PRIu64, *(const uint64_t *)at);
        break;
    case SETTING_FLOAT:
        number_json_float(text, *(const float *)at);
        break;
    case SETTING_DOUBLE:
        number_json(text, *(const double *)at);
        break;
    case SETTING_BOOL:
        snprintf(text, sizeof text, "%s", *(const bool *)at ? "true" : "false");
        break;
    case SETTING_CHOICE:
        return quoted(choice_name(s, *(const int *)at));
    case SETTING_TEXT:
    case SETTING_PRESET:
        return quoted(at);
    case SETTING_EVERY:
        if (config->checkpoint_minutes > 0) {
            char minutes[NUMBER_SIZE];
            number_text(minutes, 15, config->checkpoint_minutes);
            snprintf(text, sizeof text, "\"%sm\"", minutes);
        } else
            snprintf(text, sizeof text, "%" PRIu64, config->checkpoint_every);
        break;
    }
    return strdup(text);
}

char *train_config_text(const struct train_config *config, bool decides_only)
{
    size_t count, used = 0, room;
    const struct setting *settings = train_settings(&count);
    char *text = NULL;
    FILE *out = open_memstream(&text, &room);
    if (!out)
        return NULL;
    bool good = true;
    for (size_t i = 0; i < count && good; i++) {
        if (decides_only && !settings[i].decides)
            continue;
        char key[SETTING_KEY], *value = train_setting_text(config, &settings[i]);
        train_setting_key(key, &settings[i]);
        good = value && fprintf(out, "%s  \"%s\": %s", used++ ? ",\n" : "{\n", key, value) > 0;
        free(value);
    }
    good &= fprintf(out, "\n}\n") > 0;
    good &= fclose(out) == 0;
    if (good)
        return text;
    free(text);
    return NULL;
}

enum { OPTIONS_SIZE = 128 };

/* A line of the text as the command line has it: `  "lr": 0.06,` is "--lr 0.06", `  "keep_last": false,` "--no-keep-last". */
static void option_of(char option[OPTIONS_SIZE], const char *line, size_t length)
{
    char text[OPTIONS_SIZE], *key, *value;
    snprintf(text, sizeof text, "%.*s", (int)length, line);
    text[strcspn(text, "\n,")] = 0;
    option[0] = 0;
    key = strchr(text, '"');
    value = key ? strstr(key, "\": ") : NULL;
    if (!value)
        return;
    *value = 0;
    value += 3 + (value[3] == '"');
    value[strcspn(value, "\"")] = 0;
    for (char *c = ++key; *c; c++)
        if (*c == '_')
            *c = '-';
    bool is_false = strcmp(value, "false") == 0, is_switch = is_false || strcmp(value, "true") == 0;
    snprintf(option, OPTIONS_SIZE, "--%s%.40s%s%.40s", is_false ? "no-" : "", key, is_switch ? "" : " ", is_switch ? "" : value);
}

/* Both values of a setting, or of neither: what has no room in one list is left out of both, and dots say so. */
static bool add_options(char was[OPTIONS_SIZE], char is[OPTIONS_SIZE], const char *old, const char *new)
{
    static const char dots[] = ", ...";
    const char *comma = was[0] ? ", " : "";
    size_t used = strlen(was), used_new = strlen(is), room = OPTIONS_SIZE - sizeof dots - strlen(comma);
    if (used + strlen(old) > room || used_new + strlen(new) > room) {
        strcat(was, dots);
        strcat(is, dots);
        return false;
    }
    snprintf(was + used, OPTIONS_SIZE - used, "%s%s", comma, old);
    snprintf(is + used_new, OPTIONS_SIZE - used_new, "%s%s", comma, new);
    return true;
}

enum simclr_status train_config_same(const char *path, const char *old, const char *new, struct simclr_error *err)
{
    char was[OPTIONS_SIZE] = "", is[OPTIONS_SIZE] = "";
    if (strcmp(old, new) == 0)
        return SIMCLR_OK;
    for (bool room = true; room && *old && *new;) {
        size_t n = strcspn(old, "\n"), m = strcspn(new, "\n");
        if (n != m || memcmp(old, new, n) != 0) {
            char before[OPTIONS_SIZE], now[OPTIONS_SIZE];
            option_of(before, old, n);
            option_of(now, new, m);
            if (before[0] && now[0])
                room = add_options(was, is, before, now);
        }
        old += n + (old[n] == '\n');
        new += m + (new[m] == '\n');
    }
    return fail(err, SIMCLR_ERR_USAGE, "%s was trained with %s, not %s; %s", path, was[0] ? was : "other settings", is[0] ? is : "these",
                strstr(was, "--epochs ") ? "a run keeps its epochs, which its learning rate follows: for others train anew, with -o ANOTHER"
                                         : "leave out what differs to go on, or train anew with -o ANOTHER");
}

enum simclr_status train_config_save(const struct train_config *config, const char *path, struct simclr_error *err)
{
    errno = 0;
    char *text = train_config_text(config, false);
    if (!text && errno == ENOMEM)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to write %s", path);
    if (!text)
        return fail(err, SIMCLR_ERR_USAGE, "cannot write %s: the path of the images, %s, %s; rename it", path, config->data,
                    config->init[0] ? "or that of --init is not UTF-8" : "is not UTF-8");
    enum simclr_status status = file_write_atomic(path, text, strlen(text), err);
    free(text);
    return status;
}

static enum simclr_status set_from_json(struct train_config *config, const struct setting *s, const char *path, const char *key,
                                        json_t *value, struct simclr_error *err)
{
    char number[64], label[4200];
    const char *text = number;
    snprintf(label, sizeof label, "%s: %s", path, key);
    if (json_is_string(value))
        text = json_string_value(value);
    else if (json_is_integer(value))
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        number_json(number, json_real_value(value));
    else if (json_is_boolean(value))
        snprintf(number, sizeof number, "%s", json_is_true(value) ? "true" : "false");
    else
        return fail(err, SIMCLR_ERR_USAGE, "%s must be a number, a text, true or false", label);
    return train_setting_set(config, s, text, label, err);
}

static enum simclr_status load_object(struct train_config *config, const char *path, json_t *object, struct simclr_error *err)
{
    const char *key;
    json_t *value, *preset = json_object_get(object, "augment");
    if (preset) {
        enum simclr_status status = set_from_json(config, setting_of("augment"), path, "augment", preset, err);
        if (status != SIMCLR_OK)
            return status;
    }
    json_object_foreach(object, key, value) {
        const struct setting *s = setting_of(key);
        if (!s)
            return fail(err, SIMCLR_ERR_USAGE, "%s: there is no setting called '%.80s'; 'simclr train --help' lists them", path, key);
        if (value == preset)
            continue;
        enum simclr_status status = set_from_json(config, s, path, key, value, err);
        if (status != SIMCLR_OK)
            return status;
    }
    return SIMCLR_OK;
}

static enum simclr_status parse(struct train_config *config, const char *path, const void *text, size_t size, struct simclr_error *err)
{
    json_error_t where = {.line = 1};
    errno = 0;
    json_t *object = json_loadb(text, size, JSON_REJECT_DUPLICATES, &where);
    if (!object && errno == ENOMEM)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to read %s", path);
    enum simclr_status status = SIMCLR_OK;
    if (!json_is_object(object))
        status = fail(err, SIMCLR_ERR_FORMAT, "%s is not a JSON object (line %d%s%.80s); mend it, or remove it and give its settings as options (to use the encoder: name DATA)", path,
                      where.line, where.text[0] ? ": " : "", where.text);
    else
        status = load_object(config, path, object, err);
    json_decref(object);
    return status;
}

enum simclr_status train_config_parse(struct train_config *config, const char *path, const char *text, struct simclr_error *err)
{
    return parse(config, path, text, strlen(text), err);
}

enum simclr_status train_config_load(struct train_config *config, const char *path, struct simclr_error *err)
{
    void *text;
    size_t size;
    enum simclr_status status = file_read(&text, &size, path, MOST_BYTES, err);
    if (status != SIMCLR_OK)
        return status;
    status = parse(config, path, text, size, err);
    free(text);
    return status;
}
