#include "bench/peers/peer.h"

#include <cblas.h>

static void gemm(float *c, const float *a, const float *b, int m, int n, int k)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, n, k, 1, a, k, b, n, 0, c, n);
}

const Peer *bench_peer(int threads)
{
    openblas_set_num_threads(threads);
    static const Peer peer = {"openblas", openblas_get_config(), gemm, nullptr, nullptr};
    return &peer;
}
