#include "cli/eval_report.h"
#include "cli/print_json.h"

#include "base/status.h"
#include "base/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PATH_SIZE = 4096, MOST_COLUMNS = 4 };

static double share(size_t part, size_t whole) { return (double)part / (double)whole; }

static size_t commonest(const struct evaluation *e)
{
    size_t most = 0;
    for (int c = 0; c < e->classes; c++)
        most = e->class_images[c] > most ? e->class_images[c] : most;
    return most;
}

/* ---- For people ---- */

/* The representations side by side: h and z, then those of the untrained encoder. */
struct columns {
    const struct evaluation_part *part[MOST_COLUMNS];
    int count;
};

static struct columns columns_of(const struct eval_report *r)
{
    struct columns c = {.count = 0};
    for (int i = 0; i < 2; i++)
        c.part[c.count++] = &r->trained->part[i];
    for (int i = 0; i < 2 && r->untrained; i++)
        c.part[c.count++] = &r->untrained->part[i];
    return c;
}

static void print_what(const struct eval_report *r)
{
    char path[PATH_SIZE], data[PATH_SIZE];
    const struct train_config *c = &r->encoder->config;
    const struct evaluation *e = r->trained;
    printf("encoder: %s\n         resnet%d", text_printable(path, sizeof path, r->encoder->path), c->network.depth);
    if (c->network.width != 1)
        printf(" x %g", c->network.width);
    printf(", %d px, %" PRIu64 " steps; CRC-64 of its weights before and after: %016" PRIx64 "\n", c->network.image_size, r->encoder->step,
           r->hash);
    printf("data:    %s\n         %zu labelled images to train classifiers on, %zu to test them, %d classes\n",
           r->path[0] ? text_printable(data, sizeof data, r->path) : "the generated set of shapes", e->train_images, e->test_images,
           e->classes);
    printf("         tested on %s\n", r->test_origin);
    if (e->broken > 0)
        printf("         %zu image%s could not be read and %s left out\n", e->broken, text_plural(e->broken),
               e->broken == 1 ? "was" : "were");
}

static void print_label(const char *label) { printf("\n%-27s", label); }

static void print_percent(double x)
{
    char text[16];
    snprintf(text, sizeof text, "%.1f %%", 100 * x);
    printf("%13s", text);
}

static void print_accuracies(const struct eval_report *r)
{
    const struct evaluation *e = r->trained;
    struct columns c = columns_of(r);
    char text[64];
    print_label("accuracy on test images");
    for (int i = 0; i < c.count; i++) {
        snprintf(text, sizeof text, "%s%s", c.part[i]->name, i < 2 ? "" : " untrained");
        printf("%13s", text);
    }
    snprintf(text, sizeof text, "kNN, k = %d, T = %g", e->ks[e->k_at], e->temperatures[e->temperature_at]);
    print_label(text);
    for (int i = 0; i < c.count; i++)
        print_percent(c.part[i]->knn);
    print_label("linear probe");
    for (int i = 0; i < c.count; i++)
        print_percent(share(c.part[i]->test.right, c.part[i]->test.images));
    if (e->classes > 10)
        print_label("  among its first five");
    for (int i = 0; i < c.count && e->classes > 10; i++)
        print_percent(share(c.part[i]->test.in_five, c.part[i]->test.images));
    print_label("  on its training images");
    for (int i = 0; i < c.count; i++)
        print_percent(share(c.part[i]->train.right, c.part[i]->train.images));
    print_label("  its regularisation");
    for (int i = 0; i < c.count; i++)
        printf("%13g", c.part[i]->probe.lambda);
    print_label("always the commonest class");
    print_percent(share(commonest(e), e->test_images));
    printf("\n");
}

static void print_row(const struct evaluation *e, int part, int k)
{
    for (int t = 0; t < e->temperature_count; t++)
        printf("%7.1f", 100 * e->part[part].knn_sweep[k][t]);
}

static void print_sweep(const struct evaluation *e)
{
    printf("\nkNN, %%%*s%*s\n   k T", 7 * e->temperature_count, e->part[0].name, 3 + 7 * e->temperature_count, e->part[1].name);
    for (int i = 0; i < 2; i++) {
        printf("%s", i ? "   " : "");
        for (int t = 0; t < e->temperature_count; t++)
            printf("%7g", e->temperatures[t]);
    }
    for (int k = 0; k < e->k_count; k++) {
        printf("\n%4d  ", e->ks[k]);
        print_row(e, 0, k);
        printf("   ");
        print_row(e, 1, k);
    }
    printf("\n");
}

static void print_classes(const struct eval_report *r)
{
    const struct evaluation *e = r->trained;
    struct columns c = columns_of(r);
    print_label("linear probe   class images");
    for (int i = 0; i < c.count; i++)
        printf("%*s%s%s", i < 2 ? 12 : 2, "", c.part[i]->name, i < 2 ? "" : " untrained");
    for (int class = 0; class < e->classes; class++) {
        printf("\n%20d%7zu", class, e->class_images[class]);
        for (int i = 0; i < c.count && e->class_images[class] > 0; i++)
            print_percent(share(c.part[i]->class_right[class], e->class_images[class]));
    }
    printf("\n");
}

static void print_notes(const struct eval_report *r)
{
    const struct evaluation *e = r->trained;
    struct columns c = columns_of(r);
    if (e->ks[e->k_at] < r->k)
        printf("\nk is %d, for there are no more images to be neighbours.", e->ks[e->k_at]);
    for (int i = 0; i < c.count; i++)
        if (!c.part[i]->probe.converged)
            printf("\nThe probe on %s%s was stopped after %d iterations, before it had converged.", c.part[i]->name,
                   i < 2 ? "" : " untrained", c.part[i]->probe.iterations);
    printf("\nThe best cell of the table was found on the test images and flatters: quote k = %d, T = %g. The probe's\n"
           "regularisation was chosen on %zu of its training images. Differences below %.1f points may be chance.\n",
           e->ks[e->k_at], e->temperatures[e->temperature_at], e->part[0].probe.held_out, 100 / sqrt((double)e->test_images));
}

void eval_print(const struct eval_report *report)
{
    print_what(report);
    print_accuracies(report);
    print_sweep(report->trained);
    if (report->per_class)
        print_classes(report);
    print_notes(report);
}

/* ---- For programs ---- */

static json_t *sweep_json(const struct evaluation *e, const struct evaluation_part *part)
{
    json_t *cells = json_array();
    for (int k = 0; k < e->k_count; k++)
        for (int t = 0; t < e->temperature_count; t++)
            json_array_append_new(cells, json_pack("{s:i, s:f, s:f}", "k", e->ks[k], "temperature", e->temperatures[t], "accuracy",
                                                   part->knn_sweep[k][t]));
    return cells;
}

static json_t *probe_json(const struct evaluation *e, const struct evaluation_part *part)
{
    const struct probe *p = &part->probe;
    json_t *classes = json_array(); /* null: no test image is of this class */
    for (int c = 0; c < e->classes; c++)
        json_array_append_new(classes, e->class_images[c] ? json_real(share(part->class_right[c], e->class_images[c])) : json_null());
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:I, s:f, s:i, s:b, s:o}", "accuracy", share(part->test.right, part->test.images), "top5",
                     share(part->test.in_five, part->test.images), "train_accuracy", share(part->train.right, part->train.images), "lambda",
                     p->lambda, "held_out_accuracy", share(p->held_out_right, p->held_out), "held_out", (json_int_t)p->held_out, "loss",
                     p->loss, "iterations", p->iterations, "converged", p->converged, "class_accuracy", classes);
}

static json_t *evaluation_json(const struct evaluation *e)
{
    json_t *parts = json_object();
    for (int i = 0; i < 2; i++)
        json_object_set_new(parts, e->part[i].name,
                            json_pack("{s:i, s:f, s:o, s:o}", "dimensions", e->part[i].d, "knn", e->part[i].knn, "linear_probe",
                                      probe_json(e, &e->part[i]), "knn_sweep", sweep_json(e, &e->part[i])));
    return parts;
}

static json_t *report_json(const struct eval_report *r)
{
    char path[PATH_SIZE], data[PATH_SIZE], hash[17];
    const struct evaluation *e = r->trained;
    json_t *images = json_array(), *json;
    snprintf(hash, sizeof hash, "%016" PRIx64, r->hash);
    for (int c = 0; c < e->classes; c++)
        json_array_append_new(images, json_integer((json_int_t)e->class_images[c]));
    json = json_pack("{s:s, s:I, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:i, s:o, s:f, s:i, s:f}", "checkpoint",
                     text_printable(path, sizeof path, r->encoder->path), "step", (json_int_t)r->encoder->step, "encoder_crc64", hash,
                     "data", text_printable(data, sizeof data, r->path), "kind", dataset_kind(r->data->bank_set), "tested_on", r->test_origin,
                     "train_images", (json_int_t)e->train_images, "test_images", (json_int_t)e->test_images, "broken", (json_int_t)e->broken,
                     "classes", e->classes, "class_images", images, "commonest_class", share(commonest(e), e->test_images), "knn_k",
                     e->ks[e->k_at], "knn_temperature", e->temperatures[e->temperature_at]);
    if (json)
        json_object_update_new(json, evaluation_json(e));
    if (json && r->untrained)
        json_object_set_new(json, "untrained", evaluation_json(r->untrained));
    return json;
}

enum simclr_status eval_print_json(const struct eval_report *report, struct simclr_error *err)
{
    return print_json(report_json(report), err);
}
