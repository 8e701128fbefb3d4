#define _GNU_SOURCE
#include "base/par.h"

#include "base/cgroup.h"

#include <inttypes.h>
#include <limits.h>
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

/* Whole CPUs, rounded up: half a CPU keeps a thread busy half of the time. A quota of -1 is none, and no number to cgroup_number. */
static uint64_t cpus(uint64_t quota, uint64_t period)
{
    return quota == UINT64_MAX || period == UINT64_MAX || period == 0 ? UINT64_MAX : quota / period + (quota % period > 0);
}

static uint64_t cpus_version1(const char *folder)
{
    return cpus(cgroup_number(folder, "cpu.cfs_quota_us", ""), cgroup_number(folder, "cpu.cfs_period_us", ""));
}

/* "max 100000" or "150000 100000": the quota, then its period. */
static uint64_t cpus_version2(const char *folder)
{
    char key[32];
    uint64_t quota = cgroup_number(folder, "cpu.max", "");
    snprintf(key, sizeof key, "%" PRIu64, quota);
    return cpus(quota, cgroup_number(folder, "cpu.max", key));
}

int par_quota_below(const char *root)
{
    uint64_t quota = cgroup_least(root, "cpu", cpus_version1, cpus_version2);
    return quota > INT_MAX ? INT_MAX : quota < 1 ? 1 : (int)quota;
}

int par_default_threads(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) ? omp_get_num_procs() : CPU_COUNT(&set), quota = par_quota_below("");
    return n < quota ? n : quota;
}
