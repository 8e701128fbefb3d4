#include "cli/cli.h"

#include <string.h>
#include <unistd.h>

enum simclr_status cli_set_setting(const struct option *option, const char *text, const char *label, struct simclr_error *err)
{
    return train_setting_set(option->target, option->data, text, label, err);
}

struct option cli_setting(const struct setting *s, struct train_config *config)
{
    return (struct option){.name = s->name, .alias = s->alias, .letter = s->letter, .group = s->group, .value = s->value, .help = s->help,
                           .set = cli_set_setting, .target = config, .data = s};
}

void cli_default_data(struct train_config *config)
{
    strcpy(config->data, access(CLI_DEFAULT_DATA, R_OK) == 0 ? CLI_DEFAULT_DATA : "");
}
