#include "bench/peers/peer.h"

#include <omp.h>
#if __has_include(<oneapi/dnnl/dnnl.hpp>)
#include <oneapi/dnnl/dnnl.hpp>
#else
#include <dnnl.hpp>
#endif

#include <stdexcept>
#include <type_traits>
#include <unordered_map>

namespace {

using namespace dnnl;
using Tag = memory::format_tag;

engine &cpu()
{
    static engine e(engine::kind::cpu, 0);
    return e;
}

memory::desc described(const memory::dims &dims, Tag tag) { return {dims, memory::data_type::f32, tag}; }

/* Version 3 has no descriptors of operations besides those of primitives. */
template <class Primitive, class... More>
typename Primitive::primitive_desc primitive_desc_of(const memory::desc &src, const memory::desc &weights,
                                                     const memory::desc &dst, const PeerShape &s, const More &...hint)
{
    memory::dims strides = {s.stride, s.stride};
    /* With a stride the last taps may not reach the far edge's padding. */
    memory::dims before = {s.pad, s.pad}, after = {(s.ho - 1) * s.stride + s.r - s.h - s.pad, (s.wo - 1) * s.stride + s.r - s.w - s.pad};
    algorithm algo = algorithm::convolution_auto;
#if DNNL_VERSION_MAJOR >= 3
    if constexpr (std::is_same_v<Primitive, convolution_forward>)
        return {cpu(), prop_kind::forward_training, algo, src, weights, dst, strides, before, after};
    else
        return {cpu(), algo, src, weights, dst, strides, before, after, hint...};
#else
    if constexpr (std::is_same_v<Primitive, convolution_forward>)
        return {{prop_kind::forward_training, algo, src, weights, dst, strides, before, after}, cpu()};
    else
        return {{algo, src, weights, dst, strides, before, after}, cpu(), hint...};
#endif
}

class Convolution : public PeerConvolution {
public:
    Convolution(const PeerShape &s, PeerPass pass, const float *x, const float *w, const float *y) : stream_(cpu())
    {
        memory::dims xs = {s.n, s.c, s.h, s.w}, ws = {s.k, s.c, s.r, s.r}, ys = {s.n, s.k, s.ho, s.wo};
        memory::desc any_x = described(xs, Tag::any), any_w = described(ws, Tag::any), any_y = described(ys, Tag::any);
        memory::desc our_x = described(xs, Tag::nhwc), our_w = described(ws, Tag::hwio), our_y = described(ys, Tag::nhwc);
        auto forward = primitive_desc_of<convolution_forward>(any_x, any_w, any_y, s);
        if (pass == PEER_FORWARD) {
            primitive_ = convolution_forward(forward);
            arguments_ = {{DNNL_ARG_SRC, taken(x, our_x, forward.src_desc())},
                          {DNNL_ARG_WEIGHTS, taken(w, our_w, forward.weights_desc())},
                          {DNNL_ARG_DST, made(our_y, forward.dst_desc())}};
        } else if (pass == PEER_BY_DATA) {
            auto pd = primitive_desc_of<convolution_backward_data>(any_x, any_w, any_y, s, forward);
            primitive_ = convolution_backward_data(pd);
            arguments_ = {{DNNL_ARG_DIFF_DST, taken(y, our_y, pd.diff_dst_desc())},
                          {DNNL_ARG_WEIGHTS, taken(w, our_w, pd.weights_desc())},
                          {DNNL_ARG_DIFF_SRC, made(our_x, pd.diff_src_desc())}};
        } else {
            auto pd = primitive_desc_of<convolution_backward_weights>(any_x, any_w, any_y, s, forward);
            primitive_ = convolution_backward_weights(pd);
            arguments_ = {{DNNL_ARG_SRC, taken(x, our_x, pd.src_desc())},
                          {DNNL_ARG_DIFF_DST, taken(y, our_y, pd.diff_dst_desc())},
                          {DNNL_ARG_DIFF_WEIGHTS, made(our_w, pd.diff_weights_desc())}};
        }
    }

    void run() override
    {
        primitive_.execute(stream_, arguments_);
        stream_.wait();
    }

    void fetch(float *out) override
    {
        memory ours(our_result_, cpu(), out);
        reorder(result_, ours).execute(stream_, result_, ours);
        stream_.wait();
    }

private:
    memory taken(const float *data, const memory::desc &ours, const memory::desc &theirs)
    {
        memory from(ours, cpu(), const_cast<float *>(data)), to(theirs, cpu());
        reorder(from, to).execute(stream_, from, to);
        stream_.wait();
        return to;
    }

    memory made(const memory::desc &ours, const memory::desc &theirs)
    {
        our_result_ = ours;
        return result_ = memory(theirs, cpu());
    }

    stream stream_;
    primitive primitive_;
    std::unordered_map<int, memory> arguments_;
    memory result_;
    memory::desc our_result_;
};

void gemm(float *c, const float *a, const float *b, int m, int n, int k)
{
    if (dnnl_sgemm('N', 'N', m, n, k, 1, a, k, b, n, 0, c, n) != dnnl_success)
        throw std::runtime_error("dnnl_sgemm failed");
}

PeerConvolution *make_convolution(const PeerShape &s, PeerPass pass, const float *x, const float *w, const float *y)
{
    return new Convolution(s, pass, x, w, y);
}

} // namespace

const Peer *bench_peer(int threads)
{
    omp_set_num_threads(threads);
    const dnnl_version_t *v = dnnl_version();
    static const Peer peer = {"onednn", std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch), gemm,
                              make_convolution, nullptr};
    return &peer;
}
