#include "bench/peers.h"

#include <cmath>
#include <cstring>
#include <dlfcn.h>
#include <stdexcept>
#include <unistd.h>

extern "C" {
#include "nn/linear.h"
#include "simd/kernels.h"
}

namespace {

const double F = sizeof(float);
const double ROUNDING = 1e-4; /* rms, of our rms: Winograd's is largest, about 1e-5 */

double blur_sigma(int radius) { return 0.5 * radius + 0.5; }

void require_same(const Peer &peer, const float *theirs, const float *ours, size_t count)
{
    double error = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        double d = static_cast<double>(theirs[i]) - ours[i];
        error += d * d;
        size += static_cast<double>(ours[i]) * ours[i];
    }
    double rms = std::sqrt(error / size);
    if (!(rms < ROUNDING))
        throw std::runtime_error(format("%s computes something else: its result is %.2g of ours away", peer.name, rms));
}

} // namespace

std::vector<const Peer *> load_peers(int threads)
{
    std::vector<const Peer *> peers;
    char self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self);
    std::string folder(self, length > 0 ? static_cast<size_t>(length) : 0);
    folder.erase(folder.rfind('/') + 1);
    for (const char *name : {"openblas", "blis", "onednn", "opencv"}) {
        std::string path = folder + "peers/" + name + ".so";
        if (access(path.c_str(), F_OK) != 0)
            continue;
        void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
        auto peer = library ? reinterpret_cast<const Peer *(*)(int)>(dlsym(library, "bench_peer")) : nullptr;
        if (!peer)
            throw std::runtime_error(format("%s cannot be loaded: %s; remove it, and make bench again", path.c_str(), dlerror()));
        peers.push_back(peer(threads));
    }
    return peers;
}

Job gemm_peer_job(const struct engine &engine, const Peer &peer, int rows, int in, int out)
{
    auto m = std::make_shared<Memory>();
    size_t nx = static_cast<size_t>(rows) * in, ny = static_cast<size_t>(rows) * out, nw = static_cast<size_t>(in) * out;
    float *x = m->floats(nx), *y = m->zeros<float>(ny), *w = m->floats(nw);
    {
        Memory ours;
        float *expected = ours.zeros<float>(ny);
        linear_forward(&engine, expected, x, w, nullptr, false, rows, in, out, ours.scratch(linear_scratch(&engine, rows, in, out)));
        peer.gemm(y, x, w, rows, out, in);
        require_same(peer, y, expected, ny);
    }
    Work work{static_cast<double>(nx) * out, 0, F * static_cast<double>(nx + nw), F * static_cast<double>(ny)};
    auto gemm = peer.gemm;
    return engine_job(m, work, [=] { gemm(y, x, w, rows, out, in); });
}

Job conv_peer_job(const struct engine &engine, const Peer &peer, const struct conv_shape &s, PeerPass pass)
{
    std::shared_ptr<PeerConvolution> convolution;
    size_t nx = static_cast<size_t>(s.n) * s.h * s.w * s.c, ny = static_cast<size_t>(s.n) * s.ho * s.wo * s.k;
    size_t nw = static_cast<size_t>(s.r) * s.r * s.c * s.k, made = pass == PEER_FORWARD ? ny : pass == PEER_BY_DATA ? nx : nw;
    {
        Memory m;
        float *x = m.floats(nx), *w = m.floats(nw), *y = m.floats(ny), *theirs = m.zeros<float>(made), *ours = m.zeros<float>(made);
        void *scratch = m.scratch(conv_scratch(&engine, &s));
        struct conv_input input = {x, nullptr, nullptr, nullptr, false};
        if (pass == PEER_FORWARD)
            conv_forward(&engine, ours, nullptr, &input, w, &s, scratch);
        else if (pass == PEER_BY_DATA)
            conv_backward_data(&engine, ours, false, y, w, &s, scratch);
        else
            conv_backward_weights(&engine, ours, &input, y, &s, scratch);
        PeerShape shape = {s.n, s.h, s.w, s.c, s.k, s.r, s.stride, s.pad, s.ho, s.wo};
        convolution.reset(peer.convolution(shape, pass, x, w, y));
        convolution->run();
        convolution->fetch(theirs);
        require_same(peer, theirs, ours, made);
    }
    Job job;
    double all = F * static_cast<double>(nx + nw + ny), written = F * static_cast<double>(made);
    job.work = Work{static_cast<double>(ny) * s.c * s.r * s.r, 0, all - written, written};
    job.footprint = all;
    job.run = [convolution](size_t calls) {
        for (size_t i = 0; i < calls; i++)
            convolution->run();
    };
    return job;
}

std::vector<float> blur_weights(int radius)
{
    std::vector<double> exact;
    double sum = 0;
    for (int i = 0; i <= radius; i++) {
        exact.push_back(std::exp(-0.5 * i * i / (blur_sigma(radius) * blur_sigma(radius))));
        sum += (i ? 2 : 1) * exact.back();
    }
    std::vector<float> weights;
    for (double w : exact)
        weights.push_back(static_cast<float>(w / sum));
    return weights;
}

Job blur_peer_job(const struct engine &engine, const Peer &peer, int size, int radius)
{
    size_t side = static_cast<size_t>(size), count = 3 * side * side;
    double sigma = blur_sigma(radius);
    auto blur = peer.blur;
    Work work = static_cast<double>(count) * Work{2.0 * radius, 2.0 * (radius + 1), F, F};
    Job job = kernel_job(engine, work, [=, &peer](const struct kernels *k, Memory &m) -> Call {
        float *src = m.unit(count), *dst = m.zeros<float>(count);
        Memory ours;
        float *columns = ours.zeros<float>(count), *expected = ours.zeros<float>(count);
        float *tmp = ours.zeros<float>(BLUR_PANEL * 3 * (side + 2 * static_cast<size_t>(radius)));
        std::vector<float> weights = blur_weights(radius);
        k->blur(columns, src, tmp, weights.data(), radius, size, 3, size, true);
        k->blur(expected, columns, tmp, weights.data(), radius, size, 1, size * 3, true);
        blur(dst, src, size, 2 * radius + 1, sigma);
        require_same(peer, dst, expected, count);
        return [=] { blur(dst, src, size, 2 * radius + 1, sigma); };
    });
    int threads = engine.threads;
    job.counters = [=](benchmark::State &state, double seconds) {
        state.counters["Msamples/s"] = static_cast<double>(count) * threads / seconds / 1e6;
    };
    return job;
}
