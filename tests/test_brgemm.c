/* Batch-reduce GEMM and its packing: scalar against a double oracle within an analytic bound, every ISA against scalar bit by bit. */
#include "tests/harness.h"

#include "base/rng.h"

#include <math.h>
#include <string.h>

/* C (m, n) (+)= sum over taps of A_t (m, k) B_t (k, n), over as many panels as n needs. */
struct shape {
    int m, n, k, taps;
    enum brgemm_mode mode;
};

struct problem {
    struct shape s;
    float *a, *c;                     /* guarded, holding exactly what may be read */
    ptrdiff_t *a_row, *a_tap, *c_row; /* shuffled, with gaps: rows of a padded image are not a matrix */
    size_t a_count, c_count;
    float *b; /* (taps * k, n), unpacked */
};

typedef void fill_fn(float *p, size_t count, uint64_t seed);

/* Row offsets perm[i] * stride. */
static void shuffled_rows(ptrdiff_t *row, int count, ptrdiff_t stride, struct rng *rng)
{
    uint32_t order[128];
    cr_assert(count <= 128);
    rng_permutation(rng, order, (uint32_t)count);
    for (int i = 0; i < count; i++)
        row[i] = (ptrdiff_t)order[i] * stride;
}

static struct problem problem_new(struct shape s, fill_fn *fill, uint64_t seed, int at_start)
{
    struct problem p = {.s = s};
    struct rng rng = rng_stream(seed, RNG_TEST, 2, 0);
    p.a_row = guard_alloc((size_t)s.m * sizeof(ptrdiff_t), at_start);
    p.c_row = guard_alloc((size_t)s.m * sizeof(ptrdiff_t), at_start);
    p.a_tap = guard_alloc((size_t)s.taps * sizeof(ptrdiff_t), at_start);
    ptrdiff_t a_stride = s.k + 2, c_stride = s.n + 1, tap_stride = 3; /* taps overlap, as those of a convolution do */
    shuffled_rows(p.a_row, s.m, a_stride, &rng);
    shuffled_rows(p.c_row, s.m, c_stride, &rng);
    for (int t = 0; t < s.taps; t++)
        p.a_tap[t] = (ptrdiff_t)(s.taps - 1 - t) * tap_stride;
    p.a_count = (size_t)((s.m - 1) * a_stride + (s.taps - 1) * tap_stride + s.k);
    p.c_count = (size_t)((s.m - 1) * c_stride + s.n);
    p.a = guard_alloc(p.a_count * sizeof(float), at_start);
    p.c = guard_alloc(p.c_count * sizeof(float), at_start);
    p.b = guard_alloc((size_t)s.taps * s.k * s.n * sizeof(float), at_start);
    fill(p.a, p.a_count, seed + 1);
    fill(p.b, (size_t)s.taps * s.k * s.n, seed + 2);
    return p;
}

static void problem_free(struct problem *p)
{
    guard_free(p->a_row);
    guard_free(p->c_row);
    guard_free(p->a_tap);
    guard_free(p->a);
    guard_free(p->c);
    guard_free(p->b);
}

/* c as it is before a product: values, also between the rows, which nobody may touch. */
static void reset_c(struct problem *p)
{
    fill_random(p->c, p->c_count, 77);
}

static void run(const struct kernels *kern, struct problem *p, int at_start)
{
    const struct shape s = p->s;
    reset_c(p);
    for (int j = 0; j < s.n; j += kern->nr) {
        int n = s.n - j < kern->nr ? s.n - j : kern->nr;
        float *panel = guard_alloc((size_t)s.taps * s.k * kern->nr * sizeof(float), at_start);
        kern->pack_b(panel, p->b + j, s.n, s.taps * s.k, n);
        kern->brgemm(p->c + j, p->c_row, p->a, p->a_row, p->a_tap, panel, s.m, n, s.k, s.taps, s.mode);
        guard_free(panel);
    }
}

/* A chain of K fused steps from c0 errs by at most gamma_K (|c0| + sum |a||b|), gamma_K = K u / (1 - K u), u = 2^-24 (Higham,
 * Accuracy and Stability of Numerical Algorithms, section 3.1); the fill keeps away from denormals. */
static void expect_within_bound(double got, double want, double magnitude, int steps, const char *what, int i, int j)
{
    double ku = steps * 0x1p-24, bound = ku / (1 - ku) * magnitude;
    cr_assert(fabs(got - want) <= bound, "%s (%d, %d): %.9g, expected %.9g, bound %.3g", what, i, j, got, want, bound);
}

static void check_oracle(struct shape s)
{
    struct problem p = problem_new(s, fill_random, 5, 0);
    const struct kernels *scalar = isa_resolve("scalar");
    reset_c(&p);
    float before[4096];
    cr_assert(p.c_count <= 4096);
    memcpy(before, p.c, p.c_count * sizeof(float));
    run(scalar, &p, 0);
    for (int i = 0; i < s.m; i++)
        for (int j = 0; j < s.n; j++) {
            size_t at = (size_t)p.c_row[i] + (size_t)j;
            double sum = s.mode == BRGEMM_WRITE ? 0 : (double)before[at], magnitude = fabs(sum);
            for (int t = 0; t < s.taps; t++)
                for (int q = 0; q < s.k; q++) {
                    double product = (double)p.a[p.a_row[i] + p.a_tap[t] + q] * (double)p.b[(t * s.k + q) * s.n + j];
                    sum += product;
                    magnitude += fabs(product);
                }
            expect_within_bound(p.c[at], sum, magnitude, s.k * s.taps + (s.mode == BRGEMM_ADD), "brgemm", i, j);
        }
    problem_free(&p);
}

Test(brgemm, scalar_meets_the_double_oracle)
{
    for (int m = 1; m <= 9; m++)
        for (int n = 1; n <= 17; n++)
            check_oracle((struct shape){m, n, 1 + (m * 5 + n) % 19, 1 + (m + n) % 9, (enum brgemm_mode)(n % 3)});
    check_oracle((struct shape){7, 9, 200, 9, BRGEMM_CONTINUE});
    check_oracle((struct shape){7, 9, 200, 9, BRGEMM_ADD});
}

/* Bits of every ISA, gaps of C included, against scalar's; memory guarded after the data, then before them. */
static void check_isas(struct shape s, fill_fn *fill)
{
    const struct kernels *isas[8];
    size_t count = test_isas(isas);
    float expected[8192];
    for (int at_start = 0; at_start <= 1; at_start++) {
        struct problem p = problem_new(s, fill, 9, at_start);
        cr_assert(p.c_count <= 8192);
        run(isas[0], &p, at_start);
        memcpy(expected, p.c, p.c_count * sizeof(float));
        for (size_t i = 1; i < count; i++) {
            run(isas[i], &p, at_start);
            expect_same_bits(expected, p.c, p.c_count, "brgemm %s m %d n %d k %d taps %d mode %d", isas[i]->name, s.m, s.n, s.k,
                             s.taps, s.mode);
        }
        problem_free(&p);
    }
}

static int largest_tile(int columns)
{
    const struct kernels *isas[8];
    size_t count = test_isas(isas);
    int largest = 0;
    for (size_t i = 0; i < count; i++) {
        int size = columns ? isas[i]->nr : isas[i]->mr;
        largest = size > largest ? size : largest;
    }
    return largest;
}

Test(brgemm, every_isa_has_scalar_bits_for_every_tile)
{
    int rows = 2 * largest_tile(0) + 1, columns = largest_tile(1) + 1;
    for (int m = 1; m <= rows; m++)
        for (int n = 1; n <= columns; n++)
            check_isas((struct shape){m, n, 1 + (m * 7 + n * 3) % 21, 1 + (m + n) % 3, (enum brgemm_mode)((m + n) % 3)}, fill_random);
}

Test(brgemm, every_isa_has_scalar_bits_for_every_depth)
{
    static const int taps[] = {1, 2, 9};
    int rows = largest_tile(0), columns = largest_tile(1);
    for (int k = 1; k <= 40; k++)
        for (int t = 0; t < 3; t++) {
            check_isas((struct shape){rows + 1, columns, k, taps[t], BRGEMM_WRITE}, fill_random);
            check_isas((struct shape){rows, columns - 1, k, taps[t], BRGEMM_CONTINUE}, fill_random);
            check_isas((struct shape){rows - 1, columns - 1, k, taps[t], BRGEMM_ADD}, fill_random);
            check_isas((struct shape){1, 1, k, taps[t], BRGEMM_ADD}, fill_random);
        }
    for (int t = 1; t <= 9; t++)
        check_isas((struct shape){rows, columns, 16, t, (enum brgemm_mode)(t % 3)}, fill_random);
}

Test(brgemm, every_isa_has_scalar_bits_for_zeros_and_extremes)
{
    for (int m = 1; m <= largest_tile(0) + 1; m++)
        check_isas((struct shape){m, largest_tile(1) + 3, 11 + m, 3, (enum brgemm_mode)(m % 3)}, fill_patterns);
}

/* What makes k-blocking free: one product equals two that continue from C. */
Test(brgemm, continues_the_chain_from_c)
{
    const struct kernels *isas[8];
    size_t count = test_isas(isas);
    for (size_t isa = 0; isa < count; isa++) {
        const struct kernels *kern = isas[isa];
        enum { M = 5, K = 24, CUT = 9 };
        float a[M * K], b[K * 64], whole[M * 64], parts[M * 64];
        ptrdiff_t a_row[M], c_row[M], tap = 0;
        fill_random(a, M * K, 1);
        fill_random(b, (size_t)(K * kern->nr), 2);
        for (int i = 0; i < M; i++) {
            a_row[i] = i * K;
            c_row[i] = i * (ptrdiff_t)kern->nr;
        }
        kern->brgemm(whole, c_row, a, a_row, &tap, b, M, kern->nr, K, 1, BRGEMM_WRITE);
        kern->brgemm(parts, c_row, a, a_row, &tap, b, M, kern->nr, CUT, 1, BRGEMM_WRITE);
        kern->brgemm(parts, c_row, a + CUT, a_row, &tap, b + CUT * kern->nr, M, kern->nr, K - CUT, 1, BRGEMM_CONTINUE);
        expect_same_bits(whole, parts, (size_t)(M * kern->nr), "split k, %s", kern->name);
    }
}

/* Weight gradients: A (k, m) by rows at shuffled offsets, B (k, n); C (m, n) at stride n + 2. */
struct gradient {
    int m, n, k;
    float *a, *b, *c;
    ptrdiff_t *a_bytes;
    size_t c_count;
};

static struct gradient gradient_new(int m, int n, int k, fill_fn *fill, int at_start)
{
    struct gradient g = {.m = m, .n = n, .k = k, .c_count = (size_t)((m - 1) * (n + 2) + n)};
    struct rng rng = rng_stream(3, RNG_TEST, 3, 0);
    g.a_bytes = guard_alloc((size_t)k * sizeof(ptrdiff_t), at_start);
    shuffled_rows(g.a_bytes, k, (m + 1) * (ptrdiff_t)sizeof(float), &rng);
    size_t a_count = (size_t)((k - 1) * (m + 1) + m);
    g.a = guard_alloc(a_count * sizeof(float), at_start);
    g.b = guard_alloc((size_t)k * n * sizeof(float), at_start);
    g.c = guard_alloc(g.c_count * sizeof(float), at_start);
    fill(g.a, a_count, 4);
    fill(g.b, (size_t)k * n, 5);
    return g;
}

static void gradient_free(struct gradient *g)
{
    guard_free(g->a_bytes);
    guard_free(g->a);
    guard_free(g->b);
    guard_free(g->c);
}

/* Where C is not accumulated, it holds what must not be read. */
static void gradient_run(const struct kernels *kern, struct gradient *g, bool accumulate, int at_start)
{
    fill_random(g->c, g->c_count, 6);
    for (size_t i = 0; i < g->c_count && !accumulate; i++)
        g->c[i] = NAN;
    for (int j = 0; j < g->n; j += kern->nr) {
        int n = g->n - j < kern->nr ? g->n - j : kern->nr;
        float *panel = guard_alloc((size_t)g->k * kern->nr * sizeof(float), at_start);
        const float *soon = j % 2 ? g->a : NULL;
        kern->pack_b(panel, g->b + j, g->n, g->k, n);
        if (g->m % 2) {
            kern->brgemm_tn(g->c + j, g->n + 2, g->a, g->a_bytes, panel, 0, NULL, g->m, n, g->k, accumulate, soon, g->m);
        } else {
            float *packed = guard_alloc((size_t)g->k * kern->nr * sizeof(float), at_start);
            kern->brgemm_tn(g->c + j, g->n + 2, g->a, g->a_bytes, g->b + j, g->n, packed, g->m, n, g->k, accumulate, soon, g->m);
            expect_same_bits(panel, packed, (size_t)(g->k * kern->nr), "packed by brgemm_tn, %s", kern->name);
            guard_free(packed);
        }
        guard_free(panel);
    }
}

Test(brgemm_tn, scalar_meets_the_double_oracle)
{
    for (int m = 1; m <= 9; m++)
        for (int n = 1; n <= 17; n += 3) {
            struct gradient g = gradient_new(m, n, 3 + m * n % 60, fill_random, 0);
            float before[512];
            fill_random(before, g.c_count, 6);
            bool accumulate = n % 2;
            gradient_run(isa_resolve("scalar"), &g, accumulate, 0);
            for (int i = 0; i < m; i++)
                for (int j = 0; j < n; j++) {
                    double sum = accumulate ? (double)before[i * (n + 2) + j] : 0.0, magnitude = fabs(sum);
                    for (int p = 0; p < g.k; p++) {
                        double product = (double)g.a[g.a_bytes[p] / (ptrdiff_t)sizeof(float) + i] * (double)g.b[p * n + j];
                        sum += product;
                        magnitude += fabs(product);
                    }
                    expect_within_bound(g.c[i * (n + 2) + j], sum, magnitude, g.k + 1, "brgemm_tn", i, j);
                }
            gradient_free(&g);
        }
}

static void check_gradient_isas(int m, int n, int k, bool accumulate, fill_fn *fill)
{
    const struct kernels *isas[8];
    size_t count = test_isas(isas);
    float expected[4096];
    for (int at_start = 0; at_start <= 1; at_start++) {
        struct gradient g = gradient_new(m, n, k, fill, at_start);
        cr_assert(g.c_count <= 4096);
        gradient_run(isas[0], &g, accumulate, at_start);
        memcpy(expected, g.c, g.c_count * sizeof(float));
        for (size_t i = 1; i < count; i++) {
            gradient_run(isas[i], &g, accumulate, at_start);
            expect_same_bits(expected, g.c, g.c_count, "brgemm_tn %s m %d n %d k %d", isas[i]->name, m, n, k);
        }
        gradient_free(&g);
    }
}

Test(brgemm_tn, every_isa_has_scalar_bits)
{
    int rows = 2 * largest_tile(0) + 1, columns = largest_tile(1) + 1;
    for (int m = 1; m <= rows; m++)
        for (int n = 1; n <= columns; n++)
            check_gradient_isas(m, n, 1 + (m * 5 + n) % 23, (m + n) % 2, fill_random);
    for (int k = 1; k <= 40; k++)
        check_gradient_isas(largest_tile(0), columns, k, k % 2, fill_patterns);
}

/* Panels have each ISA's own width, so they are checked against what they should hold. */
Test(brgemm, packing_puts_zeros_beyond_n)
{
    const struct kernels *isas[8];
    size_t count = test_isas(isas);
    for (size_t isa = 0; isa < count; isa++)
        for (int n = 1; n <= isas[isa]->nr; n++)
            for (int k = 1; k <= 35; k += 17)
                for (int transposed = 0; transposed <= 1; transposed++) {
                    const struct kernels *kern = isas[isa];
                    int rows = transposed ? n : k, columns = transposed ? k : n, ld = columns + 3, nr = kern->nr;
                    int at_start = n % 2;
                    size_t src_count = (size_t)((rows - 1) * ld + columns);
                    float *src = guard_alloc(src_count * sizeof(float), at_start);
                    float *dst = guard_alloc((size_t)(k * nr) * sizeof(float), at_start);
                    fill_random(src, src_count, 8);
                    (transposed ? kern->pack_bt : kern->pack_b)(dst, src, ld, k, n);
                    for (int p = 0; p < k; p++)
                        for (int j = 0; j < nr; j++) {
                            float want = j >= n ? 0.0f : transposed ? src[j * ld + p] : src[p * ld + j];
                            cr_assert(!memcmp(&want, dst + p * nr + j, sizeof want), "%s %s k %d n %d at (%d, %d)", kern->name,
                                      transposed ? "pack_bt" : "pack_b", k, n, p, j);
                        }
                    guard_free(src);
                    guard_free(dst);
                }
}
