#include "train/encoder.h"

#include "base/crc64.h"
#include "base/status.h"
#include "train/checkpoint_file.h"
#include "train/classifier.h"
#include "train/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* What is often named in place of a run's folder. */
static enum simclr_status check_folder(const char *run, struct simclr_error *err)
{
    char path[4096];
    struct stat st;
    if (stat(run, &st) != 0 && errno == ENOENT)
        return fail(err, SIMCLR_ERR_IO, "there is no folder %s; name that of a run, or a checkpoint in it", run);
    if (snprintf(path, sizeof path, "%s/" CLASSIFIER_FILE, run) < (int)sizeof path && is_file(path))
        return fail(err, SIMCLR_ERR_USAGE, "%s holds a classifier, and no checkpoint; name the run's folder, or use 'simclr predict'", run);
    return SIMCLR_OK;
}

/* config.json beside the checkpoint names the images too. */
static enum simclr_status read_settings(struct encoder *e, const struct safetensors *file, struct simclr_error *err)
{
    char path[sizeof e->path + 16];
    const char *slash = strrchr(e->path, '/');
    struct train_config decides;
    enum simclr_status status = checkpoint_file_settings(e->path, file, &decides, err);
    e->config = decides;
    snprintf(path, sizeof path, "%.*sconfig.json", slash ? (int)(slash - e->path) + 1 : 0, e->path);
    e->data_known = access(path, F_OK) == 0;
    if (status == SIMCLR_OK && e->data_known)
        status = train_config_load(&e->config, path, err);
    e->config.network = decides.network; /* the checkpoint knows best */
    if (status == SIMCLR_OK)
        status = train_config_settle(&e->config, err);
    return status;
}

enum simclr_status encoder_open(struct encoder *encoder, const char *run, int max_rows, const struct engine *engine,
                                checkpoint_tell_fn *tell, void *ctx, struct simclr_error *err)
{
    struct safetensors *file;
    enum simclr_status status;
    *encoder = (struct encoder){.step = 0};
    if (is_file(run)) {
        snprintf(encoder->path, sizeof encoder->path, "%s", run);
        status = checkpoint_file_open(&file, run, err);
    } else {
        status = check_folder(run, err);
        if (status == SIMCLR_OK)
            status = checkpoint_open_newest(&file, encoder->path, sizeof encoder->path, run, tell, ctx, err);
    }
    if (status != SIMCLR_OK)
        return status;
    status = read_settings(encoder, file, err);
    if (status == SIMCLR_OK)
        status = network_create(&encoder->network, &encoder->config.network, engine, max_rows, false, err);
    if (status == SIMCLR_OK)
        status = checkpoint_file_network(encoder->path, file, encoder->network, err);
    const char *step = safetensors_metadata(file, "step");
    encoder->step = step ? strtoull(step, NULL, 10) : 0;
    const struct safetensors_entry *batches = safetensors_find(file, "bn1.num_batches_tracked");
    if (status == SIMCLR_OK && batches && batches->bytes == sizeof encoder->batches)
        status = safetensors_get(file, batches, &encoder->batches, err);
    safetensors_close(file);
    if (status != SIMCLR_OK)
        encoder_close(encoder);
    return status;
}

void encoder_close(struct encoder *encoder)
{
    network_free(encoder->network);
    encoder->network = NULL;
}

uint64_t encoder_hash(const struct encoder *encoder)
{
    struct crc64 crc;
    size_t params, buffers;
    const float *p = network_params(encoder->network, &params), *b = network_buffers(encoder->network, &buffers);
    crc64_begin(&crc);
    crc64_add(&crc, p, params * sizeof *p);
    crc64_add(&crc, b, buffers * sizeof *b);
    return crc64_end(&crc);
}
