/* Rows of other libraries, which do the same work on the same data; --peers. */
#ifndef BENCH_PEERS_H
#define BENCH_PEERS_H

#include "bench/bench.h"
#include "bench/peers/peer.h"

extern "C" {
#include "nn/conv.h"
}

/* Those that were built beside this program; for so many threads. */
std::vector<const Peer *> load_peers(int threads);

/* Each checks the library's result against ours, and throws std::runtime_error where they differ by more than rounding. */
Job gemm_peer_job(const struct engine &engine, const Peer &peer, int rows, int in, int out);
Job conv_peer_job(const struct engine &engine, const Peer &peer, const struct conv_shape &shape, PeerPass pass);
Job blur_peer_job(const struct engine &engine, const Peer &peer, int size, int radius);

/* Weights 0 to radius of the Gaussian that rows of blur have. */
std::vector<float> blur_weights(int radius);

#endif
