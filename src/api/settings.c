#include "api/handles.h"

#include "base/status.h"
#include "train/config.h"
#include "train/presets.h"

#include <string.h>

enum { NAME_SIZE = 64 };

/* By name or alias; NULL: there is none. */
static const struct setting *find(const char *name)
{
    size_t count;
    const struct setting *list = train_settings(&count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].name, name) == 0 || (list[i].alias && strcmp(list[i].alias, name) == 0))
            return &list[i];
    return NULL;
}

/* Those that set others come first, wherever they stand. */
enum rank { RANK_PRESET, RANK_AUGMENT, RANK_REST, RANKS };

static enum simclr_status set_one(struct train_config *config, const char *text, enum rank rank, struct simclr_error *err)
{
    char name[NAME_SIZE];
    const char *equals = strchr(text, '=');
    size_t length = equals ? (size_t)(equals - text) : 0;
    if (length == 0 || length >= sizeof name)
        return fail(err, SIMCLR_ERR_USAGE, "'%.80s' is not a setting: write name=value, as in batch-size=64", text);
    for (size_t i = 0; i < length; i++)
        name[i] = (char)(text[i] == '_' ? '-' : text[i]);
    name[length] = 0;
    if (strcmp(name, "preset") == 0)
        return rank == RANK_PRESET ? preset_apply(config, equals + 1, name, err) : SIMCLR_OK;
    const struct setting *setting = find(name);
    if (!setting)
        return fail(err, SIMCLR_ERR_USAGE, "there is no setting '%s'; 'simclr train --help-all' lists them", name);
    return rank == (setting->type == SETTING_PRESET ? RANK_AUGMENT : RANK_REST) ? train_setting_set(config, setting, equals + 1, name, err)
                                                                                : SIMCLR_OK;
}

enum simclr_status settings_read(struct train_config *config, const char *const *settings, struct simclr_error *err)
{
    enum simclr_status status = SIMCLR_OK;
    train_defaults(config);
    for (int rank = 0; rank < RANKS; rank++)
        for (const char *const *s = settings; s && *s && status == SIMCLR_OK; s++)
            status = set_one(config, *s, (enum rank)rank, err);
    return status == SIMCLR_OK ? train_config_settle(config, err) : status;
}
