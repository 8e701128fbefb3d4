#include "train/encoder.h"

#include "base/engine.h"
#include "simd/dispatch.h"
#include "tests/harness.h"
#include "tests/small_runs.h"
#include "tests/temp_files.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

TestSuite(encoder, .init = small_runs_begin, .fini = small_runs_end);

static struct encoder encoder;

static void note(void *ctx, bool warning, const char *text)
{
    (void)ctx, (void)warning;
    strncat(told, text, sizeof told - strlen(told) - 1);
}

static enum simclr_status open_at(const char *run, const char *name)
{
    struct engine engine = {.kernels = isa_resolve("scalar"), .threads = 1};
    told[0] = 0;
    return encoder_open(&encoder, temp_path(root, "%s%s", run, name), 4, &engine, note, NULL, &err);
}

Test(encoder, is_opened_from_a_run_or_one_of_its_checkpoints)
{
    run_whole("run");
    cr_assert_eq(open_at("run", ""), SIMCLR_OK, "%s", err.text);
    cr_expect_eq(encoder.step, STEPS);
    cr_expect_eq(encoder.config.network.image_size, SIDE);
    cr_expect_str_eq(encoder.config.data, config.data);
    uint64_t hash = encoder_hash(&encoder);
    size_t count;
    network_params(encoder.network, &count)[0] += 1;
    cr_expect_neq(encoder_hash(&encoder), hash);
    encoder_close(&encoder);

    cr_assert_eq(open_at("run", "/checkpoint-00000008.safetensors"), SIMCLR_OK, "%s", err.text);
    cr_expect_eq(encoder_hash(&encoder), hash);
    encoder_close(&encoder);
    cr_assert_eq(open_at("run", "/checkpoint-00000003.safetensors"), SIMCLR_OK, "%s", err.text);
    cr_expect_eq(encoder.step, 3);
    cr_expect_neq(encoder_hash(&encoder), hash);
    encoder_close(&encoder);
}

Test(encoder, does_not_need_config_json)
{
    run_whole("run");
    cr_assert_eq(remove(temp_path(root, "run/config.json")), 0);
    cr_assert_eq(open_at("run", ""), SIMCLR_OK, "%s", err.text);
    cr_expect_eq(encoder.config.network.out_dim, config.network.out_dim);
    cr_expect_str_empty(encoder.config.data);
    encoder_close(&encoder);
}

Test(encoder, of_a_damaged_checkpoint_is_the_one_before_and_nothing_changes)
{
    run_whole("run");
    size_t size;
    char *bytes = file_of(&size, "run", "checkpoint-00000008.safetensors");
    bytes[size - 5] ^= 1;
    temp_write(temp_path(root, "run/checkpoint-00000009.safetensors"), bytes, size);
    free(bytes);
    cr_assert_eq(open_at("run", ""), SIMCLR_OK, "%s", err.text);
    cr_expect_eq(encoder.step, STEPS);
    expect_in(told, "checkpoint-00000009.safetensors");
    cr_expect(is_there("run", "checkpoint-00000009.safetensors"));
    encoder_close(&encoder);
    cr_expect_eq(open_at("run", "/checkpoint-00000009.safetensors"), SIMCLR_ERR_FORMAT);
    cr_expect_null(encoder.network);
}

Test(encoder, of_no_run_is_an_error)
{
    cr_expect_eq(open_at("nothing", ""), SIMCLR_ERR_IO);
    expect_in(err.text, "there is no folder");
    mkdir(temp_path(root, "empty"), 0755);
    cr_expect_eq(open_at("empty", ""), SIMCLR_ERR_FORMAT);
    expect_in(err.text, "no checkpoint in");
    temp_write(temp_path(root, "empty/classifier.safetensors"), "x", 1);
    cr_expect_eq(open_at("empty", ""), SIMCLR_ERR_USAGE);
    expect_in(err.text, "use 'simclr predict'");
    run_whole("run");
    cr_expect_neq(open_at("run", "/config.json"), SIMCLR_OK);
}
