/* simclr plan: what a run will take, before it is begun. */
#include "cli/cli.h"
#include "cli/print_json.h"
#include "cli/progress.h"
#include "cli/run_options.h"

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "nn/conv_choice.h"
#include "simd/kernels.h"
#include "train/forecast.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "Usage: simclr plan [DATA] [OPTION...]\n\n"
    "Tells what 'simclr train' with the same DATA and options will take, and begins nothing: parameters,\n"
    "arithmetic, peak memory by category and, from two seconds of real steps on this machine, time.\n"
    "Exit codes: 0 done, whether the run fits into memory or not, 1 failed, 2 misused.\n";

struct plan_command {
    struct run_options options;
    bool layers, json, measure;
};

static size_t parameters(const struct resnet *net, bool head)
{
    size_t count = 0;
    for (size_t i = 0; i < net->param_count; i++)
        count += (strncmp(net->params[i].name, "head.", 5) == 0) == head ? net->params[i].count : 0;
    return count;
}

static double forward_flop(const struct resnet *net)
{
    double sum = 0;
    for (int i = 0; i < net->count; i++)
        sum += resnet_flop(&net->nodes[i]);
    return sum;
}

static void layer_name(char name[64], const struct resnet *net, const struct node *node)
{
    if (node->weight < 0) {
        strcpy(name, node->kind == NODE_MAXPOOL ? "maxpool" : "avgpool");
        return;
    }
    strcpy(name, resnet_layer(net, node->weight, 1).text);
}

static const char *algorithm(const struct node *node)
{
    switch (node->kind) {
    case NODE_CONV:
        return conv_algorithm_name(conv_algorithm(&node->shape));
    case NODE_LINEAR:
        return "direct";
    default:
        return "";
    }
}

/* ---- For people ---- */

static void print_run(const struct forecast *f)
{
    const struct train_config *c = &f->config;
    const struct network_config *n = &c->network;
    printf("data      %s: %zu images", dataset_kind(f->data.train_set), loader_size(f->data.train));
    if (f->data.classes > 0)
        printf(", %d classes", f->data.classes);
    if (f->data.test)
        printf(", %zu queries for kNN", loader_size(f->data.test));
    size_t encoder = parameters(&f->net, false), head = parameters(&f->net, true);
    printf("\nnetwork   ResNet-%d, width %g, %s stem, %d x %d x %d: %.2f M parameters\n", n->depth, n->width,
           n->stem == STEM_CIFAR ? "cifar" : "imagenet", n->image_size, n->image_size, n->channels, (double)(encoder + head) / 1e6);
    printf("          (%.2f M of the encoder, %.2f M of the projection head)\n", (double)encoder / 1e6, (double)head / 1e6);
    printf("          %.3f GFLOP forward, %.2f a training step, of an image's two views\n", forward_flop(&f->net) / 1e9,
           resnet_image_flop(&f->net) / 1e9);
    printf("run       batches of %d: %llu steps an epoch, %llu in %d epoch%s\n", c->batch_size, (unsigned long long)f->steps_per_epoch,
           (unsigned long long)f->steps, c->epochs, text_plural((uint64_t)c->epochs));
}

static double megabytes(size_t bytes)
{
    return (double)bytes / 1e6;
}

static enum bill_phase peak_phase(const struct bill *bill)
{
    enum bill_phase phase = BILL_TRAINING;
    while (bill_phase(bill, phase) < bill_peak(bill))
        phase++;
    return phase;
}

static void print_memory(const struct forecast *f)
{
    enum { COLUMNS = 3 };
    static const char *const whiles[] = {[BILL_TRAINING] = "while it trains", [BILL_EVALUATING] = "while it evaluates",
                                         [BILL_SAVING] = "while it writes a checkpoint"};
    size_t peak = bill_peak(&f->bill), available = f->basis.available;
    printf("\nmemory, MB\n");
    for (int i = 0; i < BILL_ITEMS; i++)
        printf("%s%-12s%9.1f%s", i % COLUMNS ? "    " : "  ", bill_item_name(i), megabytes(f->bill.bytes[i]),
               i % COLUMNS == COLUMNS - 1 || i == BILL_ITEMS - 1 ? "\n" : "");
    printf("  peak %.0f MB, %s", megabytes(peak), whiles[peak_phase(&f->bill)]);
    if (available)
        printf("; this process may take %.0f MB", megabytes(available));
    printf("\n");
    if (available && peak > available)
        printf("  IT WILL NOT FIT: lower --batch-size, --image-size or --width\n");
}

static void print_time(const struct forecast *f, const struct forecast_times *t)
{
    const struct train_config *c = &f->config;
    char epoch[32], first[32], evaluation[32], total[32];
    double step = t->compute + t->optimizer + t->data;
    progress_duration(epoch, t->epoch);
    progress_duration(first, t->first_epoch);
    progress_duration(evaluation, t->evaluation);
    progress_duration(total, t->total);
    printf("\ntime, %s kernels, %d thread%s", f->engine->kernels->name, f->engine->threads, text_plural((uint64_t)f->engine->threads));
    if (t->images < c->batch_size)
        printf(", from steps of %d images", t->images);
    printf("\n  step        %.0f ms: network and loss %.0f, optimizer %.0f, images %.0f\n", 1e3 * step, 1e3 * t->compute, 1e3 * t->optimizer,
           1e3 * t->data);
    printf("  rate        %.0f GFLOP/s", t->flop_per_second / 1e9);
    if (t->fma_peak > 0)
        printf(", %.0f %% of the peak of FMAs, %.0f", 100 * t->flop_per_second / t->fma_peak, t->fma_peak / 1e9);
    printf("\n  epoch       %s at %.3g images/s", epoch, c->batch_size / step);
    if (t->first_epoch > 1.02 * t->epoch)
        printf("; the first %s, for it decodes the images", first);
    if (t->evaluation > 0)
        printf("\n  kNN         %s, before training and %s", evaluation, c->knn_every > 1 ? "" : "after each epoch");
    if (t->evaluation > 0 && c->knn_every > 1)
        printf("every %d epochs", c->knn_every);
    printf("\n  whole run   %s\n", total);
}

static void print_layers(const struct forecast *f, const struct forecast_times *t)
{
    printf("\n%-22s%5s%11s%7s  %-17s%s\n", "layer", "out", "channels", "kernel", "algorithm", t ? "    GFLOP       ms  GFLOP/s" : "    GFLOP");
    for (int i = 0; i < f->net.count; i++) {
        const struct node *node = &f->net.nodes[i];
        const struct conv_shape *s = &node->shape;
        char name[64], channels[32], kernel[16] = "";
        layer_name(name, &f->net, node);
        snprintf(channels, sizeof channels, "%d > %d", s->c, s->k);
        if (node->kind == NODE_CONV)
            snprintf(kernel, sizeof kernel, "%dx%d/%d", s->r, s->r, s->stride);
        double gflop = resnet_step_flop(node) / 1e9 * f->config.batch_size, seconds = t ? t->nodes[i].forward + t->nodes[i].backward : 0;
        printf("%-22s%5d%11s%7s  %-17s%9.2f", name, s->ho, channels, kernel, algorithm(node), gflop);
        if (t)
            printf("%9.2f", 1e3 * seconds);
        if (t && gflop > 0 && seconds > 0)
            printf("%9.0f", gflop / seconds);
        printf("\n");
    }
    printf("of a step: %d images, two views, forward and backward; GFLOP as the direct algorithm has\n"
           "them, of which Winograd's makes a quarter to a half, so that its rate may exceed the machine's\n", f->config.batch_size);
}

/* ---- For scripts ---- */

static json_t *json_memory(const struct forecast *f)
{
    json_t *memory = json_object(), *items = json_object();
    for (int i = 0; i < BILL_ITEMS; i++)
        json_object_set_new(items, bill_item_name(i), json_integer((json_int_t)f->bill.bytes[i]));
    for (int i = 0; i < BILL_PHASES; i++)
        json_object_set_new(memory, bill_phase_name(i), json_integer((json_int_t)bill_phase(&f->bill, i)));
    json_object_set_new(memory, "peak", json_integer((json_int_t)bill_peak(&f->bill)));
    json_object_set_new(memory, "available", f->basis.available ? json_integer((json_int_t)f->basis.available) : json_null());
    json_object_set_new(memory, "fits", f->basis.available ? json_boolean(bill_peak(&f->bill) <= f->basis.available) : json_null());
    json_object_set_new(memory, "bytes", items);
    return memory;
}

static json_t *json_layers(const struct forecast *f, const struct forecast_times *t)
{
    json_t *layers = json_array();
    for (int i = 0; i < f->net.count; i++) {
        const struct node *node = &f->net.nodes[i];
        const struct conv_shape *s = &node->shape;
        char name[64];
        layer_name(name, &f->net, node);
        json_t *layer = json_pack("{s:s, s:[i, i, i], s:[i, i, i], s:i, s:i, s:s, s:f}", "name", name, "input", s->h, s->w, s->c, "output",
                                  s->ho, s->wo, s->k, "kernel", s->r, "stride", s->stride, "algorithm", algorithm(node), "step_gflop",
                                  resnet_step_flop(node) / 1e9 * f->config.batch_size);
        if (t) {
            json_object_set_new(layer, "forward_seconds", json_real(t->nodes[i].forward));
            json_object_set_new(layer, "backward_seconds", json_real(t->nodes[i].backward));
        }
        json_array_append_new(layers, layer);
    }
    return layers;
}

static enum simclr_status print_plan(const struct forecast *f, const struct forecast_times *t, bool layers, struct simclr_error *err)
{
    const struct train_config *c = &f->config;
    json_t *plan = json_pack(
        "{s:{s:s, s:I, s:I, s:i}, s:{s:i, s:f, s:s, s:i, s:I, s:I, s:f, s:f}, s:{s:i, s:I, s:i, s:I}, s:o}",
        "data", "kind", dataset_kind(f->data.train_set), "images", (json_int_t)loader_size(f->data.train), "queries",
        (json_int_t)(f->data.test ? loader_size(f->data.test) : 0), "classes", f->data.classes,
        "network", "depth", c->network.depth, "width", c->network.width, "stem", c->network.stem == STEM_CIFAR ? "cifar" : "imagenet",
        "image_size", c->network.image_size, "encoder_parameters", (json_int_t)parameters(&f->net, false),
        "head_parameters", (json_int_t)parameters(&f->net, true), "forward_gflop", forward_flop(&f->net) / 1e9,
        "step_gflop", resnet_image_flop(&f->net) / 1e9,
        "run", "batch_size", c->batch_size, "steps_per_epoch", (json_int_t)f->steps_per_epoch, "epochs", c->epochs, "steps",
        (json_int_t)f->steps, "memory", json_memory(f));
    if (plan && t)
        json_object_set_new(plan, "time", json_pack(
            "{s:s, s:i, s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "isa", f->engine->kernels->name, "threads", f->engine->threads,
            "measured_images", t->images, "network_seconds", t->compute, "optimizer_seconds", t->optimizer, "data_seconds", t->data,
            "gflop_per_second", t->flop_per_second / 1e9, "fma_peak_gflop_per_second", t->fma_peak / 1e9, "epoch_seconds", t->epoch, "first_epoch_seconds", t->first_epoch, "evaluation_seconds", t->evaluation, "total_seconds", t->total));
    if (plan && layers)
        json_object_set_new(plan, "layers", json_layers(f, t));
    return print_json(plan, err);
}

static enum simclr_status plan(const struct plan_command *c, struct forecast *f, struct simclr_error *err)
{
    struct forecast_times times;
    enum simclr_status status = SIMCLR_OK;
    if (!c->json) { /* the measurement takes its time */
        print_run(f);
        print_memory(f);
        fflush(stdout);
    }
    if (c->measure)
        status = forecast_measure(f, &times, err);
    if (status != SIMCLR_OK)
        return status;
    const struct forecast_times *t = c->measure ? &times : NULL;
    if (c->json)
        return print_plan(f, t, c->layers, err);
    if (t)
        print_time(f, t);
    if (c->layers)
        print_layers(f, t);
    return SIMCLR_OK;
}

int cmd_plan(int argc, char **argv)
{
    struct plan_command c = {.measure = true};
    const char *ignored;
    bool resume;
    const struct option own[] = {
        {.name = "layers", .group = "Plan", .set = option_switch, .target = &c.layers, .help = "a line a layer: shape, algorithm, time and rate"},
        {.name = "json", .group = "Plan", .set = option_switch, .target = &c.json, .help = "for scripts: bytes and seconds"},
        {.name = "measure", .group = "Plan", .set = option_switch, .target = &c.measure, .help = "measure time (the default); --no-measure: only reckon"},
        run_config_option(&c.options, "Plan"),
        {.name = "output", .letter = 'o', .group = "Plan", .value = "RUN", .set = option_text, .target = &ignored,
         .help = "as in train's command line; changes nothing"},
        {.name = "resume", .group = "Plan", .set = option_switch, .target = &resume, .help = "the same"},
    };
    const struct run_command command = {"simclr plan", usage, own, sizeof own / sizeof own[0], NULL, NULL};
    struct engine engine;
    struct forecast f;
    struct simclr_error err = {.text = ""};
    enum simclr_status status = run_options_parse(&c.options, &command, argc, argv, &err);
    if (status != SIMCLR_OK || c.options.help)
        return status == SIMCLR_OK ? EXIT_DONE : cli_fail(status, &err);
    status = cli_engine_until_stopped(&engine, c.options.isa, c.options.threads, &err);
    if (status != SIMCLR_OK)
        return cli_fail(status, &err);
    status = forecast_open(&f, &c.options.config, &engine, &err);
    if (status == SIMCLR_OK)
        status = plan(&c, &f, &err);
    forecast_close(&f);
    return status == SIMCLR_OK ? EXIT_DONE : cli_fail(status, &err);
}
