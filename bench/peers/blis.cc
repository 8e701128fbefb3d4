#include "bench/peers/peer.h"

#if __has_include(<blis.h>)
#include <blis.h>
#else
#include <blis/blis.h>
#endif

static void gemm(float *c, const float *a, const float *b, int m, int n, int k)
{
    float one = 1, zero = 0;
    bli_sgemm(BLIS_NO_TRANSPOSE, BLIS_NO_TRANSPOSE, m, n, k, &one, const_cast<float *>(a), k, 1, const_cast<float *>(b), n, 1, &zero, c,
              n, 1);
}

const Peer *bench_peer(int threads)
{
    bli_thread_set_num_threads(threads);
    static const Peer peer = {"blis", bli_info_get_version_str(), gemm, nullptr, nullptr};
    return &peer;
}
