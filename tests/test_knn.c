/* kNN against a full sort in the test, over ties, missing labels, threads and ISAs. */
#define _DEFAULT_SOURCE
#include "base/fmath.h"
#include "base/rng.h"
#include "eval/knn.h"
#include "tests/harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

struct candidate {
    float similarity;
    int index;
};

static int compare(const void *pa, const void *pb)
{
    const struct candidate *a = pa, *b = pb;
    if (a->similarity != b->similarity)
        return a->similarity > b->similarity ? -1 : 1;
    return a->index - b->index;
}

/* Every similarity as one chain of FMAs, all of them sorted, votes as the contract says. */
static double brute_force(const float *bank, const int *bank_labels, int bank_rows, const float *query, const int *query_labels,
                          int query_rows, int d, int classes, int k, double temperature)
{
    struct candidate *all = malloc((size_t)bank_rows * sizeof *all);
    double *votes = malloc((size_t)classes * sizeof *votes);
    int right = 0, asked = 0;
    for (int q = 0; q < query_rows; q++) {
        int count = 0;
        for (int b = 0; b < bank_rows; b++) {
            if (bank_labels[b] < 0)
                continue;
            float chain = 0.0f;
            for (int i = 0; i < d; i++)
                chain = fmaf(bank[b * d + i], query[q * d + i], chain);
            all[count++] = (struct candidate){chain, b};
        }
        qsort(all, (size_t)count, sizeof *all, compare);
        for (int c = 0; c < classes; c++)
            votes[c] = 0.0;
        for (int i = 0; i < count && i < k; i++)
            votes[bank_labels[all[i].index]] += fm_exp(((double)all[i].similarity - (double)all[0].similarity) / temperature);
        int best = 0;
        for (int c = 1; c < classes; c++)
            best = votes[c] > votes[best] ? c : best;
        asked += query_labels[q] >= 0;
        right += query_labels[q] == best;
    }
    free(all);
    free(votes);
    return (double)right / asked;
}

static const struct kernels *scalar(void)
{
    const struct kernels *isas[8];
    test_isas(isas);
    return isas[0];
}

Test(knn, matches_brute_force_on_every_isa_and_thread_count)
{
    static const struct {
        int bank, query, d, classes, k;
    } cases[] = {{1, 1, 1, 1, 1}, {5, 3, 2, 3, 2}, {64, 64, 16, 4, 5}, {301, 130, 7, 5, 20}, {130, 65, 129, 10, 1000}};
    static const int threads[] = {1, 2, 3, 5};
    enum { MOST = 301 * 129 };
    static float bank[MOST], query[MOST], bank_unit[MOST], query_unit[MOST];
    static int bank_labels[301], query_labels[301];
    const struct kernels *isas[8];
    size_t count = test_isas(isas);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        int b = cases[c].bank, q = cases[c].query, d = cases[c].d, classes = cases[c].classes, k = cases[c].k;
        size_t bank_size = (size_t)(b * d), query_size = (size_t)(q * d);
        struct rng rng = rng_stream(c, RNG_TEST, 7, 0);
        /* few distinct rows, so that similarities tie, and labels that are missing at times */
        for (int i = 0; i < b * d; i++)
            bank_unit[i] = d < 8 ? (float)rng_below(&rng, 2) - 0.5f : rng_uniform(&rng, -1.0f, 1.0f);
        for (int i = 0; i < q * d; i++)
            query_unit[i] = rng_uniform(&rng, -1.0f, 1.0f);
        for (int i = 0; i < b; i++)
            bank_labels[i] = i > 0 && i % 7 == 3 ? -1 : (int)rng_below(&rng, (uint32_t)classes);
        for (int i = 0; i < q; i++)
            query_labels[i] = i > 0 && i % 5 == 2 ? -1 : (int)rng_below(&rng, (uint32_t)classes);
        memcpy(bank, bank_unit, bank_size * sizeof *bank);
        memcpy(query, query_unit, query_size * sizeof *query);
        scalar()->l2_normalize(bank, NULL, bank, (size_t)b, d);
        scalar()->l2_normalize(query, NULL, query, (size_t)q, d);
        double want = brute_force(bank, bank_labels, b, query, query_labels, q, d, classes, k, 0.1);
        for (size_t i = 0; i < count; i++)
            for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
                struct engine engine = {.kernels = isas[i], .threads = threads[t]};
                struct simclr_error err;
                double accuracy = -1.0;
                memcpy(bank, bank_unit, bank_size * sizeof *bank);
                memcpy(query, query_unit, query_size * sizeof *query);
                enum simclr_status status = knn_classify(&engine, &accuracy, bank, bank_labels, (size_t)b, query, query_labels,
                                                         (size_t)q, d, classes, k, 0.1, &err);
                cr_assert_eq(status, SIMCLR_OK, "%s", err.text);
                cr_expect_eq(accuracy, want, "case %zu, %s, %d threads: %.9g, expected %.9g", c, isas[i]->name, threads[t], accuracy,
                             want);
            }
    }
}

Test(knn, sweep_is_each_k_with_each_temperature)
{
    enum { BANK = 150, QUERY = 70, D = 9, CLASSES = 6, KS = 4, TS = 3 };
    static const int ks[KS] = {1, 7, 64, 1000};
    static const double temperatures[TS] = {0.02, 0.1, 5};
    float *bank = random_array(BANK * D, 1), *query = random_array(QUERY * D, 2);
    int bank_labels[BANK], query_labels[QUERY];
    double swept[KS * TS], one;
    bool differ = false;
    struct simclr_error err;
    struct engine engine = {.kernels = scalar(), .threads = 2};
    for (int i = 0; i < BANK; i++)
        bank_labels[i] = i % 11 == 3 ? -1 : (bank[i * D] > 0) + 2 * (bank[i * D + 1] > 0);
    for (int i = 0; i < QUERY; i++)
        query_labels[i] = i % 9 == 5 ? -2 : (query[i * D] > 0) + 2 * (query[i * D + 1] > 0);
    cr_assert_eq(knn_sweep(&engine, swept, bank, bank_labels, BANK, query, query_labels, QUERY, D, CLASSES, ks, KS, temperatures, TS, &err),
                 SIMCLR_OK, "%s", err.text);
    for (int k = 0; k < KS; k++)
        for (int t = 0; t < TS; t++) {
            cr_assert_eq(knn_classify(&engine, &one, bank, bank_labels, BANK, query, query_labels, QUERY, D, CLASSES, ks[k], temperatures[t],
                                      &err), SIMCLR_OK, "%s", err.text);
            cr_expect_eq(swept[k * TS + t], one, "k %d, T %g: %g, alone %g", ks[k], temperatures[t], swept[k * TS + t], one);
            differ |= one != swept[0];
        }
    cr_expect(differ);
    free(bank);
    free(query);
}

/* classify one query against a bank of points of the plane; true if the answer is `label` */
static bool answers(const float *bank, const int *labels, size_t rows, float x, float y, int label, int k, double temperature)
{
    struct engine engine = {.kernels = scalar(), .threads = 1};
    struct simclr_error err;
    float copy[32], query[2] = {x, y};
    double accuracy;
    memcpy(copy, bank, rows * 2 * sizeof *bank);
    enum simclr_status status =
        knn_classify(&engine, &accuracy, copy, labels, rows, query, &label, 1, 2, 8, k, temperature, &err);
    cr_assert_eq(status, SIMCLR_OK, "%s", err.text);
    return accuracy == 1.0;
}

Test(knn, ties_go_to_the_lower_index_and_class)
{
    static const float same[] = {1, 0, 0, 1, 1, 0, 1, 0, 1, 0};
    static const int labels[] = {-1, 7, 5, 2, 3};
    cr_expect(answers(same, labels, 5, 2.0f, 0.0f, 5, 1, 0.1), "the first labelled of the equals decides");
    cr_expect(answers(same, labels, 5, 2.0f, 0.0f, 2, 2, 0.1), "of equal votes the lower class wins");
    cr_expect(answers(same, labels, 5, 2.0f, 0.0f, 2, 100, 0.1), "k is cut to the bank");
    static const float better[] = {1, 1, 1, 1, 1, 1, 1, 0.9f};
    static const int later[] = {1, 1, 2, 2};
    cr_expect(answers(better, later, 4, 1.0f, 0.0f, 1, 3, 10.0), "a newcomer drives out the last of the equals");
}

Test(knn, votes_are_weighted_by_similarity)
{
    /* one near neighbour against two far ones: temperature decides */
    static const float bank[] = {1, 0, 0, 1, 0, 1};
    static const int labels[] = {4, 1, 1};
    cr_expect(answers(bank, labels, 3, 1.0f, 0.1f, 4, 3, 0.1));
    cr_expect(answers(bank, labels, 3, 1.0f, 0.1f, 1, 3, 10.0));
    cr_expect(answers(bank, labels, 3, 1.0f, 0.1f, 4, 3, 1e-5), "a small temperature does not overflow");
}

Test(knn, errors_are_sentences)
{
    struct engine engine = {.kernels = scalar(), .threads = 1};
    struct simclr_error err;
    float bank[4] = {1, 0, 0, 1}, query[2] = {1, 1};
    int labels[2] = {0, 1}, none[2] = {-1, -1}, high[2] = {0, 9}, label = 0;
    double accuracy;
    cr_expect_eq(knn_classify(&engine, &accuracy, bank, none, 2, query, &label, 1, 2, 2, 1, 0.1, &err), SIMCLR_ERR_USAGE);
    cr_expect_eq(knn_classify(&engine, &accuracy, bank, labels, 2, query, none, 1, 2, 2, 1, 0.1, &err), SIMCLR_ERR_USAGE);
    cr_expect_eq(knn_classify(&engine, &accuracy, bank, labels, 0, query, &label, 1, 2, 2, 1, 0.1, &err), SIMCLR_ERR_USAGE);
    cr_expect_eq(knn_classify(&engine, &accuracy, bank, high, 2, query, &label, 1, 2, 2, 1, 0.1, &err), SIMCLR_ERR_FORMAT);
    cr_expect(strstr(err.text, "9"), "%s", err.text);
    cr_expect_eq(knn_classify(&engine, &accuracy, bank, labels, 2, query, &label, 1, 2, 2, 0, 0.1, &err), SIMCLR_ERR_USAGE);
    cr_expect_eq(knn_classify(&engine, &accuracy, bank, labels, 2, query, &label, 1, 2, 2, 1, 0.0, &err), SIMCLR_ERR_USAGE);
}

#ifndef SANITIZED
Test(knn, lack_of_memory_is_an_error)
{
    struct engine engine = {.kernels = scalar(), .threads = 1};
    struct simclr_error err;
    struct rlimit limit = {(rlim_t)1 << 30, (rlim_t)1 << 30};
    cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
    float bank[4] = {1, 0, 0, 1}, query[2] = {1, 1};
    int labels[2] = {0, 1}, label = 0;
    double accuracy;
    cr_expect_eq(knn_classify(&engine, &accuracy, bank, labels, 2, query, &label, 1, 2, 1 << 30, 1, 0.1, &err), SIMCLR_ERR_MEMORY);
    cr_expect(strstr(err.text, "memory"), "%s", err.text);
}
#endif
