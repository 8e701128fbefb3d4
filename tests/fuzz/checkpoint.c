/* A checkpoint as safetensors: what is resumed from holds numbers only; every tensor that is handed out lies in memory. */
#include "base/crc64.h"
#include "io/safetensors.h"
#include "tests/fuzz/files.h"
#include "tests/fuzz/tiny_network.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char start[] = "{\"__metadata__\":{\"simclr_checksum\":\"";

enum { PREFIX = 8, CHECKSUM_AT = PREFIX + sizeof start - 1, DIGITS = 16 };

/* The right checksum, which no mutation would find. */
static void mend_checksum(uint8_t *bytes, size_t size)
{
    struct crc64 crc;
    char text[DIGITS + 1];
    if (size < CHECKSUM_AT + DIGITS || memcmp(bytes + PREFIX, start, sizeof start - 1) != 0)
        return;
    memset(bytes + CHECKSUM_AT, '0', DIGITS);
    crc64_begin(&crc);
    crc64_add(&crc, bytes, size);
    snprintf(text, sizeof text, "%016" PRIx64, crc64_end(&crc));
    memcpy(bytes + CHECKSUM_AT, text, DIGITS);
}

static void walk(const char *path)
{
    struct safetensors *file;
    struct simclr_error err;
    if (safetensors_open(&file, path, &err) != SIMCLR_OK)
        return;
    for (size_t i = 0; i < safetensors_count(file); i++) {
        const struct safetensors_entry *e = safetensors_at(file, i);
        fuzz_expect(safetensors_find(file, e->name) == e, "a tensor found by its name");
        void *copy = malloc(e->bytes + 1);
        memcpy(copy, e->data, e->bytes);
        free(copy);
    }
    safetensors_close(file);
}

static void ignore(void *ctx, bool warning, const char *text)
{
    (void)ctx, (void)warning, (void)text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = malloc(size + 1);
    if (size > 0) /* libFuzzer begins with no bytes at NULL */
        memcpy(bytes, data, size);
    mend_checksum(bytes, size);
    const char *path = fuzz_file("checkpoint-00000007.safetensors", bytes, size);
    free(bytes);
    walk(path);

    struct checkpoint_target target = tiny_target();
    struct checkpoint_state state = {0};
    struct simclr_error err;
    bool found;
    if (checkpoint_resume(fuzz_folder(), 0, &target, &state, &found, ignore, NULL, &err) != SIMCLR_OK)
        return 0;
    size_t count;
    const float *params = network_params(target.network, &count);
    for (size_t i = 0; i < count; i++)
        fuzz_expect(isfinite(params[i]) && isfinite(target.optim[0][i]), "numbers");
    fuzz_expect(state.epoch_steps <= state.step && isfinite(state.loss), "a state that a run can be in");
    return 0;
}
