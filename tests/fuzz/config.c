/* config.json: settings that are taken are written, and read back as the same. */
#include "tests/fuzz/files.h"
#include "train/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct train_config config;
    struct simclr_error err;
    const char *path = fuzz_file("config.json", data, size);
    train_defaults(&config);
    if (train_config_load(&config, path, &err) != SIMCLR_OK || train_config_settle(&config, &err) != SIMCLR_OK)
        return 0;
    char *text = train_config_text(&config, false);
    fuzz_expect(text && train_config_save(&config, path, &err) == SIMCLR_OK, "settings that can be written");
    train_defaults(&config);
    fuzz_expect(train_config_load(&config, path, &err) == SIMCLR_OK && train_config_settle(&config, &err) == SIMCLR_OK,
                "written settings that can be read");
    char *again = train_config_text(&config, false);
    fuzz_expect(again && strcmp(text, again) == 0, "the same settings");
    free(text);
    free(again);
    return 0;
}
