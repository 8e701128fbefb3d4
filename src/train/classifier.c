#include "train/classifier.h"

#include "base/status.h"
#include "base/text.h"
#include "train/checkpoint_file.h"
#include "train/config.h"
#include "train/export.h"
#include "train/tensor_file.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FORMAT_VERSION "1"
#define FORMAT_KEY "simclr_classifier"

enum { MOST_CLASSES = 65536 };

/* ---- Writing ---- */

/* A list of texts as JSON, freed with free(). NULL: no memory. */
static char *names_text(char *const *names, int count)
{
    json_t *list = json_array();
    bool whole = list != NULL;
    for (int i = 0; i < count && whole; i++)
        whole = json_array_append_new(list, json_string(names[i])) == 0;
    char *text = whole ? json_dumps(list, JSON_COMPACT) : NULL;
    json_decref(list);
    return text;
}

enum simclr_status classifier_write(const char *path, struct network *network, const struct network_config *config, char *const *names,
                                    uint64_t batches, struct simclr_error *err)
{
    struct export_metadata about;
    struct tensor_group groups[2];
    struct tensor_entries tensors;
    network_groups(groups, network, true);
    enum simclr_status status = tensor_entries_make(&tensors, groups, 2, batches, path, err);
    if (status != SIMCLR_OK)
        return status;
    char *classes = names_text(names, config->out_dim);
    export_describe(&about, config);
    struct safetensors_pair metadata[EXPORT_PAIRS + 2] = {[EXPORT_PAIRS] = {FORMAT_KEY, FORMAT_VERSION}, {"classes", classes}};
    memcpy(metadata, about.pairs, sizeof about.pairs);
    status = classes ? tensor_entries_write(path, &tensors, metadata, EXPORT_PAIRS + 2, err)
                     : fail(err, SIMCLR_ERR_MEMORY, "not enough memory to write %s", path);
    free(classes);
    tensor_entries_free(&tensors);
    return status;
}

/* ---- Reading ---- */

static enum simclr_status damaged(const char *path, const char *what, struct simclr_error *err)
{
    return fail(err, SIMCLR_ERR_FORMAT, "%s is damaged: %s; fine-tune again, or take a copy", path, what);
}

static enum simclr_status check_format(const char *path, const struct safetensors *file, struct simclr_error *err)
{
    const char *version = safetensors_metadata(file, FORMAT_KEY);
    if (!version)
        return fail(err, SIMCLR_ERR_FORMAT, "%s is no classifier: name what 'simclr finetune' wrote", path);
    if (strcmp(version, FORMAT_VERSION) != 0)
        return fail(err, SIMCLR_ERR_USAGE, "%s has classifier format %.20s and this program reads format %s; use the version that wrote it", path,
                    version, FORMAT_VERSION);
    return safetensors_checked(file) ? SIMCLR_OK : damaged(path, "it has lost its checksum", err);
}

static enum simclr_status read_network(struct network_config *network, const char *path, const struct safetensors *file,
                                       struct train_config *config, struct simclr_error *err)
{
    static const struct {
        const char *key, *setting;
    } parts[] = {{"arch", "arch"}, {"width", "width"}, {"stem", "stem"}, {"channels", "channels"}, {"image_size", "image-size"}};
    enum simclr_status status = SIMCLR_OK;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && status == SIMCLR_OK; i++) {
        char label[4200];
        const char *text = safetensors_metadata(file, parts[i].key);
        snprintf(label, sizeof label, "%s: %s", path, parts[i].key);
        status = train_setting_set(config, train_setting_find(parts[i].setting), text ? text : "", label, err);
    }
    *network = config->network;
    network->classifier = true;
    network->head_layers = 1;
    return status == SIMCLR_ERR_USAGE ? SIMCLR_ERR_FORMAT : status;
}

static enum simclr_status read_names(struct classifier *c, const char *path, const struct safetensors *file, struct simclr_error *err)
{
    const char *text = safetensors_metadata(file, "classes");
    json_t *list = text ? json_loads(text, 0, NULL) : NULL;
    size_t count = json_array_size(list);
    enum simclr_status status = count > 0 && count <= MOST_CLASSES ? SIMCLR_OK : damaged(path, "it does not name its classes", err);
    if (status == SIMCLR_OK && !(c->names = calloc(count, sizeof *c->names)))
        status = fail(err, SIMCLR_ERR_MEMORY, "not enough memory for %zu classes", count);
    for (size_t i = 0; i < count && status == SIMCLR_OK; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        size_t size = name ? 4 * strlen(name) + 1 : 0; /* each byte may be escaped */
        if (!name)
            status = damaged(path, "it does not name its classes", err);
        else if (!(c->names[i] = malloc(size)))
            status = fail(err, SIMCLR_ERR_MEMORY, "not enough memory for %zu classes", count);
        else {
            text_printable(c->names[i], size, name);
            c->classes++;
        }
    }
    json_decref(list);
    return status;
}

static enum simclr_status read_file(struct classifier *c, struct safetensors *file, int max_rows, const struct engine *engine,
                                    struct simclr_error *err)
{
    struct encoder *e = &c->encoder;
    struct network_config *network = &e->config.network;
    enum simclr_status status = check_format(e->path, file, err);
    train_defaults(&e->config);
    if (status == SIMCLR_OK)
        status = read_network(network, e->path, file, &e->config, err);
    if (status == SIMCLR_OK)
        status = read_names(c, e->path, file, err);
    network->out_dim = c->classes;
    if (status == SIMCLR_OK)
        status = network_create(&e->network, network, engine, max_rows, false, err);
    return status == SIMCLR_OK ? checkpoint_file_network(e->path, file, e->network, err) : status;
}

enum simclr_status classifier_open(struct classifier *c, const char *path, int max_rows, const struct engine *engine,
                                   struct simclr_error *err)
{
    struct stat st;
    struct safetensors *file;
    *c = (struct classifier){.names = NULL};
    bool folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    int length = snprintf(c->encoder.path, sizeof c->encoder.path, "%s%s", path, folder ? "/" CLASSIFIER_FILE : "");
    if (length < 0 || (size_t)length >= sizeof c->encoder.path)
        return fail(err, SIMCLR_ERR_USAGE, "the path %.80s... is too long", path);
    if (folder && stat(c->encoder.path, &st) != 0)
        return fail(err, SIMCLR_ERR_IO, "there is no classifier in %s; name the folder that 'simclr finetune' wrote, before what is to be classified",
                    path);
    enum simclr_status status = safetensors_open_each(&file, c->encoder.path, err);
    if (status != SIMCLR_OK)
        return status;
    status = read_file(c, file, max_rows, engine, err);
    safetensors_close(file);
    return status;
}

void classifier_close(struct classifier *c)
{
    for (int i = 0; i < c->classes; i++)
        free(c->names[i]);
    free(c->names);
    encoder_close(&c->encoder);
    *c = (struct classifier){.names = NULL};
}
