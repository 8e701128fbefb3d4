/* What training does around the layers: the loss, the optimisers, the views, and whole steps. */
#include "bench/machine.h"
#include "bench/networks.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

extern "C" {
#include "data/augment.h"
#include "data/loader.h"
#include "nn/ntxent.h"
#include "train/optim.h"
#include "train/step.h"
}

namespace {

const double F = sizeof(float);

/* ---- NT-Xent, loss and gradient ---- */

void add_ntxent(Rows &rows, const Scale &scale)
{
    enum { D = 128 };
    for (int n : {64, 256, 512, 1024, 2048, 8192}) {
        Work work = ntxent_work(n, D);
        if (work.flops() <= scale.most_flops)
            rows.push_back({"ntxent", format("n%d.d%d", n, D), work.flops(), [=](const struct engine &engine) {
                auto m = std::make_shared<Memory>();
                float *z = m->floats(static_cast<size_t>(n) * D), *dz = m->zeros<float>(static_cast<size_t>(n) * D);
                void *scratch = m->scratch(ntxent_scratch(&engine, n, D));
                Job job = engine_job(m, work, [=] {
                    struct ntxent_result result;
                    ntxent(&engine, &result, dz, z, n, D, 0.5f, scratch);
                });
                job.effective = 4.0 * n * n * D; /* its products alone: how it compares with a GEMM */
                return job;
            }});
    }
}

/* ---- Optimisers over all parameters of a network ---- */

struct optim_config optim_of(enum optimizer kind)
{
    struct optim_config c{};
    c.kind = kind;
    c.momentum = 0.9;
    c.beta1 = 0.9;
    c.beta2 = 0.999;
    c.eps = 1e-8;
    c.weight_decay = 1e-4;
    c.trust = 0.001;
    return c;
}

Job optim_job(const struct engine &engine, const std::shared_ptr<struct resnet> &net, enum optimizer kind, const Work &work_of_one)
{
    auto m = std::make_shared<Memory>();
    size_t count = net->param_floats;
    float *params = m->floats(count), *grads = m->floats(count);
    std::vector<float *> state = {m->zeros<float>(count), nullptr};
    if (optim_state_arrays(kind) > 1)
        state[1] = m->zeros<float>(count);
    struct optim_config config = optim_of(kind);
    auto step = std::make_shared<uint64_t>(0);
    return engine_job(m, static_cast<double>(count) * work_of_one, [=] {
        float *const arrays[2] = {state[0], state[1]};
        optim_step(&engine, &config, net->params, net->param_count, params, grads, arrays, ++*step, 1e-6);
    });
}

/* LARS first takes the norms of weights and gradients. */
void add_optimizers(Rows &rows, const Scale &scale)
{
    static const struct { const char *name; enum optimizer kind; Work work; } kinds[] = {
        {"optim.sgd", OPTIM_SGD, {3, 0, 3 * F, 2 * F, true}},
        {"optim.lars", OPTIM_LARS, {4, 2, 5 * F, 2 * F, true}},
        {"optim.adam", OPTIM_ADAM, {5, 7, 4 * F, 3 * F, true}},
        {"optim.adamw", OPTIM_ADAMW, {5, 7, 4 * F, 3 * F, true}},
    };
    const Network network = networks(scale)[0];
    auto net = std::make_shared<struct resnet>(build(network.config));
    for (const auto &k : kinds) {
        enum optimizer kind = k.kind;
        Work work = k.work;
        double flops = static_cast<double>(net->param_floats) * work.flops();
        if (flops <= scale.most_flops)
            rows.push_back({k.name, network.name, flops,
                       [=](const struct engine &engine) { return optim_job(engine, net, kind, work); }});
    }
}

/* What each step pays to know that its gradient is finite: beside the step of the same name, the share of it. */
void add_gradient_checks(Rows &rows, const Scale &scale)
{
    double last = 0;
    for (const Network &network : networks(scale)) {
        auto net = std::make_shared<struct resnet>(build(network.config));
        double floats = static_cast<double>(net->param_floats);
        if (floats == last) /* the same network on larger images */
            continue;
        last = floats;
        if (floats <= scale.most_flops)
            rows.push_back({"optim.check", network.name, floats, [=](const struct engine &engine) {
                auto m = std::make_shared<Memory>();
                float *grads = m->floats(net->param_floats);
                return engine_job(m, floats * Work{1, 0, F, 0}, [=] {
                    if (!optim_gradient_is_finite(&engine, net->params, net->param_count, grads))
                        throw std::runtime_error("the gradient is not finite");
                });
            }});
    }
}

/* ---- Views ---- */

/* Half the kernel, or as far as the Gaussian's weights e^(-k^2 / 2 sigma^2) are at least 2^-27: augmentation makes no other products. */
int blur_radius(const struct augment_params &p, const struct augment_config &c, int size)
{
    int most = (c.blur_kernel > 0 ? c.blur_kernel : size / 10) / 2;
    return p.blur ? std::min(most, static_cast<int>(p.sigma * std::sqrt(54 * std::log(2.0)))) : 0;
}

/* What one view asks for, from its parameters: the resize, color, blur (the kernels' own counts, rows_pixels.cc). */
Work view_work(const struct augment_params &p, const struct augment_config &c, int size)
{
    double pixels = static_cast<double>(size) * size, scale_y = static_cast<double>(p.height) / size;
    double scale_x = static_cast<double>(p.width) / size;
    Work work{0, 0, 3.0 * p.height * p.width, 3 * F * pixels};
    if (scale_y == 1 && scale_x == 1)
        work.other += 3 * pixels;
    else
        work.fma += 3 * (2 * (scale_y > 1 ? scale_y : 1) - 1) * size * p.width + 3 * (2 * (scale_x > 1 ? scale_x : 1) - 1) * pixels;
    if (p.jitter)
        work = work + pixels * Work{3 + 2 + 5 + 5, 3 + 3 + 2 + 4 + 10, 0, 0};
    if (p.grey)
        work = work + pixels * Work{5, 4, 0, 0};
    if (int radius = blur_radius(p, c, size))
        work = work + 3 * pixels * radius * Work{2, 2, 0, 0} + 3 * pixels * Work{0, 2, 0, 0};
    if (p.solarize)
        work.other += 3 * pixels;
    return work;
}

struct View {
    const char *preset;
    int size, h, w; /* source h x w -> (size, size) */
};
enum { IMAGES = 64 }; /* a call, on each thread: chance evens out. Fewer within a limit */

struct augment_params draw(const View &view, const struct augment_config &config, int number)
{
    struct augment_params params;
    struct rng rng = rng_stream(0, RNG_AUGMENT, 0, static_cast<uint64_t>(number));
    augment_draw(&params, &config, view.h, view.w, &rng);
    return params;
}

/* Two views of each image, as the loader makes them: parameters from the image's own streams, outputs in the batch's places. */
Job views_job(const struct engine &engine, const View &view, double most_flops)
{
    struct augment_config config;
    if (augment_preset(&config, view.preset))
        throw std::runtime_error(format("there is no preset %s", view.preset));
    Work work;
    int images = 0;
    for (; images == 0 || (images < IMAGES && engine.threads * work.flops() < most_flops); images++)
        for (int v = 0; v < 2; v++)
            work = work + view_work(draw(view, config, 2 * images + v), config, view.size);
    Job job = kernel_job(engine, work, [=](const struct kernels *k, Memory &m) -> Call {
        size_t floats = 3 * static_cast<size_t>(view.size) * static_cast<size_t>(view.size);
        size_t bytes = 3 * static_cast<size_t>(view.h) * static_cast<size_t>(view.w);
        uint8_t *pixels = m.bytes(static_cast<size_t>(images) * bytes);
        float *out = m.zeros<float>(2 * static_cast<size_t>(images) * floats);
        void *scratch = m.scratch(augment_scratch(view.h, view.w, 3, view.size));
        return [=] {
            for (int i = 0; i < images; i++)
                for (int v = 0; v < 2; v++) {
                    struct augment_params params = draw(view, config, 2 * i + v);
                    struct image image = {view.h, view.w, 3, pixels + static_cast<size_t>(i) * bytes, 0};
                    augment_apply(k, out + static_cast<size_t>(v * images + i) * floats, &image, &params, &config, view.size, scratch);
                }
        };
    });
    int threads = engine.threads;
    job.counters = [=](benchmark::State &state, double seconds) { state.counters["views/s"] = 2.0 * images * threads / seconds; };
    return job;
}

void add_views(Rows &rows, const Scale &scale)
{
    static const View views[] = {{"cifar", 32, 32, 32}, {"reference", 96, 96, 96}, {"reference", 224, 224, 224},
                                 {"paper", 224, 375, 500}};
    double most_flops = scale.most_flops;
    for (const View &view : views)
        if (!scale.quick || view.size < 96)
            rows.push_back({"two_views", format("%dpx.%s", view.size, view.preset) + (view.h > view.size ? ".photo" : ""), 0,
                       [=](const struct engine &engine) { return views_job(engine, view, most_flops); }});
}

/* ---- A training step, from images in memory to new weights ---- */

void check(enum simclr_status status, const struct simclr_error &err)
{
    if (status != SIMCLR_OK)
        throw std::runtime_error(err.text);
}

struct Step {
    struct engine engine;
    struct network_config config;
    int batch;
    struct optim_config optim = optim_of(OPTIM_SGD);
    struct dataset *set = nullptr;
    struct loader *loader = nullptr;
    struct network *network = nullptr;
    Memory memory;
    struct step_memory pass{};
    float *state[2] = {nullptr, nullptr};
    uint64_t done = 0;

    Step(const struct engine &e, const struct network_config &c, int b) : engine(e), config(c), batch(b)
    {
        struct simclr_error err;
        struct dataset_options options = {};
        options.limit = static_cast<size_t>(batch) * 2;
        options.channels = 3;
        check(dataset_open(&set, nullptr, SPLIT_TRAIN, &options, &err), err);
        std::vector<uint32_t> items(dataset_size(set));
        for (size_t i = 0; i < items.size(); i++)
            items[i] = static_cast<uint32_t>(i);
        struct loader_config loading{};
        loading.image_size = config.image_size;
        loading.channels = 3;
        augment_preset(&loading.augment, config.image_size <= 32 ? "cifar" : "paper");
        check(loader_create(&loader, set, items.data(), items.size(), &loading, &engine, &err), err);
        loader_cache(loader, size_t{1} << 30, false);
        check(network_create(&network, &config, &engine, 2 * batch, true, &err), err);
        size_t params, buffers, rows = 2 * static_cast<size_t>(batch), side = static_cast<size_t>(config.image_size);
        size_t floats = rows * static_cast<size_t>(config.out_dim);
        network_params(network, &params);
        network_buffers(network, &buffers);
        state[0] = memory.zeros<float>(params);
        pass.engine = &engine;
        pass.network = network;
        pass.micro = batch;
        pass.image_floats = side * side * 3;
        pass.views = memory.zeros<float>(rows * pass.image_floats);
        pass.z = memory.zeros<float>(floats);
        pass.dz = memory.zeros<float>(floats);
        pass.pass_dz = memory.zeros<float>(floats);
        pass.statistics = memory.zeros<float>(buffers);
        pass.loss_scratch = memory.scratch(ntxent_scratch(&engine, static_cast<int>(rows), config.out_dim));
        pass.out_dim = config.out_dim;
        pass.temperature = 0.5f;
    }

    static enum simclr_status views(void *ctx, float *out, int first, int count, struct simclr_error *err)
    {
        const Step *s = static_cast<const Step *>(ctx);
        size_t place = s->done % 2 * static_cast<size_t>(s->batch) + static_cast<size_t>(first);
        return loader_batch(s->loader, out, static_cast<uint32_t>(s->done / 2), place, count, err);
    }

    void run()
    {
        struct simclr_error err;
        struct ntxent_result result;
        struct step_batch images = {batch, views, this};
        bool finite;
        size_t count, tensors;
        check(step_run(&pass, &images, &result, &finite, &err), err);
        if (!finite)
            throw std::runtime_error("the step's numbers are not finite");
        const struct tensor_info *list = network_param_list(network, &tensors);
        optim_step(&engine, &optim, list, tensors, network_params(network, &count), network_grads(network), state, ++done, 1e-4);
    }

    ~Step()
    {
        network_free(network);
        loader_free(loader);
        if (set)
            dataset_close(set);
    }
    Step(const Step &) = delete;
    Step &operator=(const Step &) = delete;
};

Job step_job(const struct engine &engine, const struct network_config &config, int batch, const Work &work, double effective)
{
    machine_reset_peak_rss();
    auto step = std::make_shared<Step>(engine, config, batch);
    Job job;
    job.work = work;
    job.effective = effective;
    job.footprint = static_cast<double>(network_memory(step->network) + step->memory.footprint());
    job.run = [step](size_t calls) {
        for (size_t i = 0; i < calls; i++)
            step->run();
    };
    job.counters = [batch](benchmark::State &state, double seconds) {
        state.counters["images/s"] = batch / seconds;
        state.counters["peak_rss_MB"] = machine_peak_rss() / 1e6;
    };
    job.results = [step] {
        size_t count;
        const float *params = network_params(step->network, &count);
        Bytes all = step->memory.contents();
        const unsigned char *bytes = reinterpret_cast<const unsigned char *>(params);
        all.insert(all.end(), bytes, bytes + count * sizeof(float));
        return all;
    };
    return job;
}

} // namespace

void add_step_rows(Rows &rows, const Scale &scale)
{
    add_ntxent(rows, scale);
    add_optimizers(rows, scale);
    add_gradient_checks(rows, scale);
    add_views(rows, scale);
    static const struct { const char *name; int depth; double width; enum stem stem; int size, batch; } steps[] = {
        {"resnet18.w25.8px.b2", 18, 0.25, STEM_CIFAR, 8, 2}, /* for every ISA, whatever the limit */
        {"resnet18.w25.cifar.b256", 18, 0.25, STEM_CIFAR, 32, 256},
        {"resnet18.cifar.b128", 18, 1, STEM_CIFAR, 32, 128},
        {"resnet50.96.b32", 50, 1, STEM_IMAGENET, 96, 32},
    };
    for (const auto &s : steps) {
        struct network_config config = network_config_of(s.depth, s.width, s.stem, s.size);
        struct resnet net = build(config);
        Work work = training_work(net, 2 * s.batch, config.out_dim);
        double effective = effective_training_flops(net, 2 * s.batch, config.out_dim);
        int batch = s.batch;
        if (&s == steps || work.flops() <= scale.most_flops)
            rows.push_back({"step", s.name, work.flops(),
                       [=](const struct engine &engine) { return step_job(engine, config, batch, work, effective); }});
    }
}
