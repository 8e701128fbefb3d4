#include "eval/predict.h"

#include "base/ints.h"
#include "base/status.h"
#include "eval/embed.h"
#include "io/buffer.h"
#include "io/file.h"
#include "io/number.h"
#include "nn/cross_entropy.h"

#include <math.h>
#include <stdlib.h>

struct prediction {
    const char *output;
    const struct predict_options *options;
    struct file_writer file;
    struct predict_result *result;
    const struct image_part *part; /* that is written */
    float *p;           /* (classes) */
    struct buffer text; /* of a pass */
};

/* ---- One image ---- */

/* The likeliest class that was not told yet; what was told is -1. */
static int next_class(const float *p, int classes)
{
    int best = 0;
    for (int c = 1; c < classes; c++)
        if (p[c] > p[best])
            best = c;
    return best;
}

static void put_class(struct prediction *s, int rank, const char *name, float probability)
{
    char number[NUMBER_SIZE];
    number_json_float(number, probability);
    if (s->options->json) {
        buffer_format(&s->text, "%s{\"class\": ", rank ? ", " : "");
        buffer_json(&s->text, name);
        buffer_format(&s->text, ", \"probability\": %s}", number);
    } else {
        buffer_format(&s->text, ",");
        buffer_csv(&s->text, name);
        buffer_format(&s->text, ",%s", number);
    }
}

static void put_begin(struct prediction *s)
{
    buffer_format(&s->text, s->options->json ? "[\n" : "name,class,probability");
    for (int rank = 2; rank <= min_int(s->options->top, s->options->classes) && !s->options->json; rank++)
        buffer_format(&s->text, ",class_%d,probability_%d", rank, rank);
    if (!s->options->json)
        buffer_format(&s->text, "\n");
}

static void put_image(struct prediction *s, const char *name)
{
    bool json = s->options->json;
    if (s->result->images == 0) /* nothing is written where no image can be read */
        put_begin(s);
    if (json) {
        buffer_format(&s->text, "%s  {\"name\": ", s->result->images ? ",\n" : "");
        buffer_json(&s->text, name);
        buffer_format(&s->text, ", \"classes\": [");
    } else {
        buffer_csv(&s->text, name);
    }
    for (int rank = 0; rank < min_int(s->options->top, s->options->classes); rank++) {
        int class = next_class(s->p, s->options->classes);
        put_class(s, rank, s->options->names[class], s->p[class]);
        s->p[class] = -1;
    }
    buffer_format(&s->text, json ? "]}" : "\n");
    s->result->images++;
}

static enum simclr_status put_text(struct prediction *s, struct simclr_error *err)
{
    if (s->text.failed)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to write %s", s->output);
    return file_put(&s->file, s->text.data, s->text.size, err);
}

/* A features_take_fn. */
static enum simclr_status take(void *ctx, const struct features_pass *pass, struct simclr_error *err)
{
    struct prediction *s = ctx;
    char name[EMBED_NAME];
    buffer_clear(&s->text);
    for (size_t i = 0; i < (size_t)pass->rows; i++) {
        if (pass->labels[i] == LABEL_BROKEN) {
            s->result->broken++;
            continue;
        }
        embed_name(s->part, s->options->parts, pass->first + i, name);
        if (!isfinite(softmax(s->p, pass->z + i * (size_t)s->options->classes, s->options->classes)))
            return fail(err, SIMCLR_ERR_NONFINITE, "the classes of %.200s have no finite numbers: the classifier is of no use", name);
        put_image(s, name);
    }
    return put_text(s, err);
}

/* ---- All ---- */

static enum simclr_status put_end(struct prediction *s, struct simclr_error *err)
{
    buffer_clear(&s->text);
    buffer_format(&s->text, "\n]\n");
    return s->options->json ? put_text(s, err) : SIMCLR_OK;
}

static enum simclr_status put_all(struct prediction *s, struct network *network, const struct image_part *parts, int count,
                                  image_report_fn *report, void *ctx, struct simclr_error *err)
{
    struct image_progress progress = image_progress_begin(report, ctx, 0);
    *s->result = (struct predict_result){.images = 0};
    s->p = malloc((size_t)s->options->classes * sizeof *s->p);
    enum simclr_status status = s->p ? SIMCLR_OK : fail(err, SIMCLR_ERR_MEMORY, "not enough memory for %d classes", s->options->classes);
    for (int i = 0; i < count; i++)
        progress.total += loader_size(parts[i].loader);
    for (int i = 0; i < count && status == SIMCLR_OK; i++) {
        s->part = &parts[i];
        status = features_walk(network, parts[i].loader, s->options->batch, true, take, s, &progress, err);
    }
    if (status == SIMCLR_OK && s->result->images == 0)
        status = features_none_readable(parts[0].loader, err);
    if (status == SIMCLR_OK)
        status = put_end(s, err);
    free(s->p);
    buffer_free(&s->text);
    return status;
}

enum simclr_status predict_print(int fd, const char *name, struct network *network, const struct image_part *parts, int count,
                                 const struct predict_options *options, image_report_fn *report, void *ctx, struct predict_result *result,
                                 struct simclr_error *err)
{
    struct prediction s = {.output = name, .options = options, .file = file_to(fd, name), .result = result};
    return put_all(&s, network, parts, count, report, ctx, err);
}

enum simclr_status predict_write(const char *output, struct network *network, const struct image_part *parts, int count,
                                 const struct predict_options *options, image_report_fn *report, void *ctx, struct predict_result *result,
                                 struct simclr_error *err)
{
    struct prediction s = {.output = output, .options = options, .result = result};
    enum simclr_status status = file_must_be_new(output, "-o", err);
    if (status == SIMCLR_OK)
        status = file_begin(&s.file, output, err);
    if (status != SIMCLR_OK)
        return status;
    status = put_all(&s, network, parts, count, report, ctx, err);
    if (status == SIMCLR_OK)
        status = file_must_be_new(output, "-o", err);
    if (status == SIMCLR_OK)
        return file_commit(&s.file, err);
    file_abandon(&s.file);
    return status == SIMCLR_ERR_CANCELLED ? fail(err, status, "stopped after %zu images; nothing was written", result->images + result->broken)
                                          : status;
}
