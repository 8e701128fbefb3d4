#define _GNU_SOURCE
#include "base/par.h"

#include <omp.h>
#include <sched.h>
#include <stdio.h>

void par_for(int threads, size_t chunks, par_fn *fn, void *ctx)
{
    if ((size_t)threads > chunks)
        threads = (int)chunks;
    if (threads <= 1) {
        for (size_t i = 0; i < chunks; i++)
            fn(ctx, i, 0);
        return;
    }
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (size_t i = 0; i < chunks; i++)
        fn(ctx, i, omp_get_thread_num());
}

/* CPUs that a cgroup quota allows, rounded up; 0 when there is none. */
static int cgroup_cpus(void)
{
    long quota = 0, period = 0;
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "r"); /* cgroup 2: "max 100000" or "150000 100000" */
    if (f) {
        if (fscanf(f, "%ld %ld", &quota, &period) != 2)
            quota = 0;
        fclose(f);
    } else if ((f = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "r"))) { /* cgroup 1 */
        if (fscanf(f, "%ld", &quota) != 1)
            quota = 0;
        fclose(f);
        if ((f = fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "r"))) {
            if (fscanf(f, "%ld", &period) != 1)
                period = 0;
            fclose(f);
        }
    }
    return quota > 0 && period > 0 ? (int)((quota + period - 1) / period) : 0;
}

int par_default_threads(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) ? omp_get_num_procs() : CPU_COUNT(&set);
    int quota = cgroup_cpus();
    if (quota && quota < n)
        n = quota;
    return n < 1 ? 1 : n;
}
