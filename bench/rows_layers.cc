/* Layers of real networks, taken from the node lists that training runs: convolutions, norms, pools, linear layers. */
#include "bench/networks.h"
#include "bench/peers.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>

extern "C" {
#include "nn/conv.h"
#include "nn/conv_choice.h"
#include "nn/linear.h"
#include "nn/norm.h"
#include "nn/plan.h"
#include "nn/pool.h"
}

namespace {

const double F = sizeof(float);

size_t inputs(const struct conv_shape &s) { return static_cast<size_t>(s.n) * s.h * s.w * s.c; }
size_t outputs(const struct conv_shape &s) { return static_cast<size_t>(s.n) * s.ho * s.wo * s.k; }
size_t weights(const struct conv_shape &s) { return static_cast<size_t>(s.r) * s.r * s.c * s.k; }

/* "layer2.0.conv1.weight" -> "l2" */
std::string stage_of(const struct resnet &net, const struct node &node)
{
    std::string name = net.params[node.weight].name;
    return name.compare(0, 5, "layer") == 0 ? "l" + name.substr(5, 1) : "stem";
}

/* The most views, a power of two below the network's own batch, that stay within the limit; 0: not even one does. */
int batch_within(const Scale &scale, int batch, double flops_of_one)
{
    while (batch > 0 && batch * flops_of_one > scale.most_flops)
        batch /= 2;
    return batch;
}

struct ConvLayer {
    std::string kernel, net, stage;
    struct conv_shape shape; /* of one image */
    bool data;               /* whether the gradient by data is wanted */
    bool adds;               /* whether that is added to another's, as backward has come by a later reader of the same tensor */
    int batch;
};

std::vector<ConvLayer> conv_layers(const Scale &scale)
{
    std::vector<ConvLayer> layers;
    std::set<std::string> seen;
    for (const Network &network : networks(scale)) {
        struct resnet net = build(network.config);
        for (int i = 0; i < net.count; i++) {
            const struct node &node = net.nodes[i];
            const struct conv_shape &s = node.shape;
            std::string key = format("%s %d %d %d %d %d %d", network.name, s.h, s.w, s.c, s.k, s.r, s.stride);
            if (node.kind != NODE_CONV || !seen.insert(key).second)
                continue;
            std::string stage = stage_of(net, node), kernel = stage;
            if (node.input >= 0)
                kernel = format("conv%dx%d", s.r, s.r) + (s.stride > 1 ? format("s%d", s.stride) : "");
            bool adds = false;
            for (int later = i + 1; later < net.count; later++)
                adds = adds || net.nodes[later].input == node.input || net.nodes[later].residual == node.input;
            layers.push_back({kernel, network.name, stage, s, node.input >= 0, adds, batch_within(scale, network.batch, 2 * conv_macs(s))});
        }
    }
    return layers;
}

enum Pass { FORWARD = PEER_FORWARD, BY_DATA = PEER_BY_DATA, BY_WEIGHTS = PEER_BY_WEIGHTS };

Job conv_job(const struct engine &engine, struct conv_shape s, Pass pass, bool adds)
{
    auto m = std::make_shared<Memory>();
    float *x = m->floats(inputs(s)), *w = m->floats(weights(s)), *y = m->floats(outputs(s));
    void *scratch = m->scratch(conv_scratch(&engine, &s));
    double bytes_x = F * static_cast<double>(inputs(s)), bytes_w = F * static_cast<double>(weights(s));
    double bytes_y = F * static_cast<double>(outputs(s)), all = bytes_x + bytes_w + bytes_y;
    double written = pass == FORWARD ? bytes_y : pass == BY_DATA ? bytes_x : bytes_w, read = all - written;
    if (pass == BY_DATA && adds) { /* pixels between the strides of a 1x1 are left alone */
        written = s.r == 1 ? bytes_x * (s.ho * s.wo) / (s.h * s.w) : bytes_x;
        read += written;
    }
    struct conv_input input = {x, nullptr, nullptr, nullptr, false};
    Job job = engine_job(m, Work{conv_chosen_macs(s), 0, read, written, pass == BY_DATA && adds}, [=] {
        if (pass == FORWARD)
            conv_forward(&engine, y, nullptr, &input, w, &s, scratch);
        else if (pass == BY_DATA)
            conv_backward_data(&engine, x, adds, y, w, &s, scratch);
        else
            conv_backward_weights(&engine, w, &input, y, &s, scratch);
    });
    if (conv_chosen_macs(s) != conv_macs(s))
        job.effective = 2 * conv_macs(s);
    return job;
}

void add_convolutions(Rows &rows, const Scale &scale)
{
    static const char *const passes[] = {"fwd", "data", "weights"};
    std::vector<ConvLayer> layers = conv_layers(scale);
    std::map<std::string, int> uses; /* of a name without channels: those tell layers apart only where it must be */
    std::set<enum conv_algorithm> algorithms, missing;
    for (const ConvLayer &l : layers) {
        uses[l.kernel + l.net + l.stage]++;
        (l.batch > 0 ? algorithms : missing).insert(conv_algorithm(&l.shape));
    }
    for (enum conv_algorithm a : missing)
        if (!algorithms.count(a))
            throw std::logic_error(format("no convolution by %s is within %g FLOPs", conv_algorithm_name(a), scale.most_flops));
    for (int pass = FORWARD; pass <= BY_WEIGHTS; pass++)
        for (const ConvLayer &l : layers) {
            if (l.batch == 0 || (pass == BY_DATA && !l.data))
                continue;
            struct conv_shape s = l.shape;
            s.n = l.batch;
            std::string name = l.kernel == "stem" ? l.net : l.net + "." + l.stage;
            if (uses[l.kernel + l.net + l.stage] > 1)
                name += format(".c%dk%d", s.c, s.k);
            rows.push_back({l.kernel + "." + passes[pass], name + format(".b%d", l.batch), 2 * conv_macs(s),
                            [s, pass, adds = l.adds](const struct engine &engine) { return conv_job(engine, s, static_cast<Pass>(pass), adds); },
                            [](const Peer &peer) { return peer.convolution != nullptr; },
                            [s, pass](const struct engine &e, const Peer &peer) {
                                return conv_peer_job(e, peer, s, static_cast<PeerPass>(pass));
                            }});
        }
}

/* ---- Norms, as training runs them ---- */

size_t pixels(const struct slices &s) { return static_cast<size_t>(s.n) * s.h * s.w; }

/* The convolution before has taken the sums: what is left is to combine them, and to apply the norm if the output is stored. */
Job norm_forward_job(const struct engine &engine, struct slices slices, int c, bool residual)
{
    auto m = std::make_shared<Memory>();
    size_t count = pixels(slices) * static_cast<size_t>(c);
    float *x = m->floats(count), *y = m->zeros<float>(count), *res = residual ? m->floats(count) : nullptr;
    float *mean = m->zeros<float>(c), *invstd = m->zeros<float>(c), *scale = m->zeros<float>(c);
    struct norm_params p = {m->unit(c), m->floats(c), m->zeros<float>(c), m->unit(c)};
    void *scratch = m->scratch(norm_scratch(&slices, c));
    norm_sum(&engine, x, &slices, c, scratch);
    Work work = static_cast<double>(count) * Work{1, residual ? 2.0 : 1.0, residual ? 2 * F : F, F};
    return engine_job(m, work, [=] {
        struct conv_input input = {x, mean, scale, p.bias, true}, other = {res, nullptr, nullptr, nullptr, false};
        norm_statistics(&engine, mean, invstd, scale, &p, &slices, c, scratch);
        norm_forward(&engine, y, &input, residual ? &other : nullptr, &slices, c);
    });
}

/* Sums read dy and x, with a residual out as well, and so does the gradient itself, in place. */
Job norm_backward_job(const struct engine &engine, struct slices slices, int c, bool residual, bool relu)
{
    auto m = std::make_shared<Memory>();
    size_t count = pixels(slices) * static_cast<size_t>(c);
    float *x = m->floats(count), *dy = m->floats(count), *out = residual ? m->unit(count) : nullptr;
    float *dres = residual ? m->zeros<float>(count) : nullptr;
    float *mean = m->floats(c), *invstd = m->unit(c), *scale = m->zeros<float>(c), *shift = m->zeros<float>(c);
    /* A scale of 1, and ReLUs that let all pass: or else dy would fade, call by call, into denormals. */
    std::fill(scale, scale + c, 1.0f);
    std::fill(shift, shift + c, 3.0f);
    float *dgain = m->zeros<float>(c), *dbias = m->zeros<float>(c);
    void *scratch = m->scratch(norm_scratch(&slices, c));
    double read = residual ? 6 : 4, written = residual ? 2 : 1;
    Work work = static_cast<double>(count) * Work{relu && !residual ? 4.0 : 2.0, 7, read * F, written * F};
    return engine_job(m, work, [=] {
        struct conv_input input = {x, mean, scale, shift, relu};
        norm_backward(&engine, dy, dres, false, dgain, dbias, dy, out, &input, invstd, &slices, c, scratch);
    });
}

void add_norms(Rows &rows, const Scale &scale)
{
    std::set<std::string> seen;
    for (const Network &network : networks(scale)) {
        struct resnet net = build(network.config);
        auto plan = std::make_unique<struct network_plan>();
        if (plan_network(plan.get(), &net, 1, true))
            throw std::runtime_error("no memory for a plan");
        for (int i = 0; i < net.count; i++) {
            const struct node &node = net.nodes[i];
            const struct conv_shape &s = node.shape;
            bool residual = node.residual >= 0, relu = node.relu;
            if (node.kind != NODE_CONV || !node.norm)
                continue;
            int batch = batch_within(scale, network.batch, 12.0 * static_cast<double>(outputs(s)));
            std::string name = format("%s.%s.%dx%dx%d", network.name, stage_of(net, node).c_str(), s.ho, s.wo, s.k);
            name += std::string(residual ? ".res" : "") + (relu ? "" : ".linear") + format(".b%d", batch);
            if (batch == 0 || !seen.insert(name).second)
                continue;
            struct slices slices = slices_of(batch, s.ho, s.wo);
            double flops = 12.0 * static_cast<double>(pixels(slices)) * s.k;
            int c = s.k;
            if (plan->slots[i][PLAN_OUT].bytes) /* else the layers behind apply it */
                rows.push_back({"norm.fwd", name, flops,
                           [=](const struct engine &e) { return norm_forward_job(e, slices, c, residual); }});
            rows.push_back({"norm.bwd", name, flops,
                       [=](const struct engine &e) { return norm_backward_job(e, slices, c, residual, relu); }});
        }
    }
}

/* ---- Pools and linear layers ---- */

Job pool_job(const struct engine &engine, struct conv_shape s, bool max, bool backward)
{
    auto m = std::make_shared<Memory>();
    float *x = m->floats(inputs(s)), *y = m->floats(outputs(s));
    uint8_t *which = max ? m->zeros<uint8_t>(outputs(s)) : nullptr;
    double in = static_cast<double>(inputs(s)), out = static_cast<double>(outputs(s)), byte = max ? 1 : 0;
    Work work = backward ? Work{0, max ? 9 * out : out, (F + byte) * out, F * in} : Work{0, max ? 0 : in + out, F * in, (F + byte) * out};
    if (max)
        maxpool_forward(&engine, y, which, x, s.n, s.h, s.w, s.c);
    return engine_job(m, work, [=] {
        if (max && backward)
            maxpool_backward(&engine, x, y, which, s.n, s.h, s.w, s.c);
        else if (max)
            maxpool_forward(&engine, y, which, x, s.n, s.h, s.w, s.c);
        else if (backward)
            avgpool_backward(&engine, x, y, s.n, s.h * s.w, s.c);
        else
            avgpool_forward(&engine, y, x, s.n, s.h * s.w, s.c);
    });
}

Job linear_job(const struct engine &engine, int batch, int in, int out, bool bias, bool backward)
{
    auto m = std::make_shared<Memory>();
    size_t nx = static_cast<size_t>(batch) * in, ny = static_cast<size_t>(batch) * out, nw = static_cast<size_t>(in) * out;
    float *x = m->floats(nx), *y = m->floats(ny), *w = m->floats(nw), *b = bias ? m->floats(out) : nullptr;
    float *dx = backward ? m->zeros<float>(nx) : nullptr, *dw = backward ? m->zeros<float>(nw) : nullptr;
    void *scratch = m->scratch(linear_scratch(&engine, batch, in, out));
    double macs = static_cast<double>(nx) * out, bx = F * static_cast<double>(nx), by = F * static_cast<double>(ny);
    double bw = F * static_cast<double>(nw);
    Work work = backward ? Work{2 * macs, bias ? by / F : 0, 2 * by + bx + bw, bx + bw} : Work{macs, bias ? by / F : 0, bx + bw, by};
    return engine_job(m, work, [=] {
        if (backward)
            linear_backward(&engine, dx, dw, b, y, nullptr, x, w, batch, in, out, scratch);
        else
            linear_forward(&engine, y, x, w, b, false, batch, in, out, scratch);
    });
}

void add_pools_and_linear(Rows &rows, const Scale &scale)
{
    std::set<std::string> seen;
    for (const Network &network : networks(scale)) {
        struct resnet net = build(network.config);
        for (int i = 0; i < net.count; i++) {
            const struct node &node = net.nodes[i];
            struct conv_shape s = node.shape;
            if (node.kind == NODE_CONV || !seen.insert(format("%s %d %d %d", network.name, node.kind, s.c, s.k)).second)
                continue;
            double flops = node.kind == NODE_LINEAR ? 4 * conv_macs(s) : 2.0 * static_cast<double>(inputs(s));
            s.n = batch_within(scale, network.batch, flops);
            if (s.n == 0)
                continue;
            std::string batch = format(".b%d", s.n), head = std::string(network.name) + format(".%dx%d", s.c, s.k) + batch;
            for (bool backward : {false, true}) {
                std::string suffix = backward ? ".bwd" : ".fwd";
                if (node.kind == NODE_LINEAR)
                    rows.push_back({"linear" + suffix, head, flops * s.n,
                               [=](const struct engine &e) { return linear_job(e, s.n, s.c, s.k, true, backward); }});
                else
                    rows.push_back({(node.kind == NODE_MAXPOOL ? "maxpool" : "avgpool") + suffix, network.name + batch, flops * s.n,
                                    [=](const struct engine &e) { return pool_job(e, s, node.kind == NODE_MAXPOOL, backward); }});
            }
        }
    }
}

/* Squares, and what convolutions of ResNets come down to: many rows, few outputs, few rows, much of one and little of the other. */
void add_gemm(Rows &rows, const Scale &scale)
{
    static const struct {
        int rows, in, out;
    } shapes[] = {{128, 128, 128}, {512, 512, 512}, {2048, 2048, 2048}, {262144, 576, 64}, {65536, 1152, 128}, {16384, 2304, 256},
                  {4096, 4608, 512}, {65536, 64, 256}, {65536, 256, 64}, {9216, 2048, 512}, {512, 2048, 128}, {8192, 128, 8192},
                  {512, 128, 512}};
    for (const auto &s : shapes) {
        double flops = 2.0 * s.rows * s.in * s.out;
        if (flops <= scale.most_flops)
            rows.push_back({"gemm", format("%dx%dx%d", s.rows, s.in, s.out), flops,
                            [s](const struct engine &e) { return linear_job(e, s.rows, s.in, s.out, false, false); },
                            [](const Peer &peer) { return peer.gemm != nullptr; },
                            [s](const struct engine &e, const Peer &peer) { return gemm_peer_job(e, peer, s.rows, s.in, s.out); }});
    }
}

} // namespace

void add_layer_rows(Rows &rows, const Scale &scale)
{
    add_gemm(rows, scale);
    add_convolutions(rows, scale);
    add_norms(rows, scale);
    add_pools_and_linear(rows, scale);
}
