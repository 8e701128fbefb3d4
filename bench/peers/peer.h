/* A library that does what some of our rows do. Each is linked into a shared object of its own, which bench loads: so two libraries
 * with the same symbols can be in one process. Failures are exceptions. */
#ifndef BENCH_PEERS_PEER_H
#define BENCH_PEERS_PEER_H

#include <string>

enum PeerPass { PEER_FORWARD, PEER_BY_DATA, PEER_BY_WEIGHTS };

struct PeerShape {
    int n, h, w, c, k, r, stride, pad, ho, wo;
};

/* A convolution, its tensors in the layouts that the library likes best. */
struct PeerConvolution {
    virtual void run() = 0;
    virtual void fetch(float *out) = 0; /* (n, h, w, c), or (r, r, c, k) of weights */
    virtual ~PeerConvolution() = default;
};

struct Peer {
    const char *name;
    std::string version;
    /* What a library does not have is NULL. c (m, n) = a (m, k) b (k, n) */
    void (*gemm)(float *c, const float *a, const float *b, int m, int n, int k);
    /* Of x (n, h, w, c), w (r, r, c, k) and y (n, ho, wo, k) the pass reads two and makes the third. */
    PeerConvolution *(*convolution)(const PeerShape &shape, PeerPass pass, const float *x, const float *w, const float *y);
    /* Gaussian of an interleaved image (size, size, 3), reflected at its edges without repeating them; on the calling thread alone. */
    void (*blur)(float *dst, const float *src, int size, int taps, double sigma);
};

extern "C" const Peer *bench_peer(int threads);

#endif
