/* How many threads are worth starting: the quotas of a made-up system's cgroups, and this process's own CPUs. */
#define _GNU_SOURCE
#include "base/par.h"
#include "tests/temp_files.h"

#include <criterion/criterion.h>
#include <limits.h>
#include <sched.h>
#include <string.h>

static char *root;
static void setup(void) { root = temp_folder(); }
static void teardown(void) { temp_remove(root); }
TestSuite(par, .init = setup, .fini = teardown);

static void file(const char *name, const char *text)
{
    temp_write(temp_path(root, "%s", name), text, strlen(text));
}

Test(par, without_a_quota_there_is_no_limit)
{
    cr_expect_eq(par_quota_below(root), INT_MAX, "nothing is known");
    file("proc/self/cgroup", "0::/user.slice/session\n");
    cr_expect_eq(par_quota_below(root), INT_MAX, "its folder cannot be seen");
    file("sys/fs/cgroup/user.slice/session/cpu.max", "max 100000\n");
    cr_expect_eq(par_quota_below(root), INT_MAX);
}

Test(par, the_smallest_quota_around_counts_and_is_rounded_up)
{
    file("proc/self/cgroup", "0::/a/b\n");
    file("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    file("sys/fs/cgroup/a/cpu.max", "800000 100000\n");
    cr_expect_eq(par_quota_below(root), 8);
    file("sys/fs/cgroup/a/b/cpu.max", "150000 50000\n");
    cr_expect_eq(par_quota_below(root), 3);
    file("sys/fs/cgroup/a/b/cpu.max", "150001 50000\n");
    cr_expect_eq(par_quota_below(root), 4);
    file("sys/fs/cgroup/a/b/cpu.max", "1000 100000\n");
    cr_expect_eq(par_quota_below(root), 1);
    file("sys/fs/cgroup/a/b/cpu.max", "100000 0\n"); /* no such thing */
    cr_expect_eq(par_quota_below(root), 8);
}

Test(par, a_containers_quota_is_found)
{
    file("proc/self/cgroup", "0::/docker/0123\n");
    file("sys/fs/cgroup/cpu.max", "200000 100000\n");
    cr_expect_eq(par_quota_below(root), 2);
}

Test(par, version_1_of_groups)
{
    file("proc/self/cgroup", "12:cpu,cpuacct:/job/1\n5:memory:/x\n1:name=systemd:/cpu\n0::/\n");
    file("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    file("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    cr_expect_eq(par_quota_below(root), INT_MAX);
    file("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "250000\n");
    file("sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n");
    cr_expect_eq(par_quota_below(root), 3);
    file("sys/fs/cgroup/cpu/job/1/cpu.cfs_quota_us", "100000\n"); /* without a period: unknown */
    cr_expect_eq(par_quota_below(root), 3);
}

Test(par, affinity_is_a_limit)
{
    cpu_set_t all, one;
    cr_assert_eq(sched_getaffinity(0, sizeof all, &all), 0);
    cr_expect_leq(par_default_threads(), CPU_COUNT(&all));
    int cpu = 0;
    while (!CPU_ISSET(cpu, &all))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    cr_assert_eq(sched_setaffinity(0, sizeof one, &one), 0);
    cr_expect_eq(par_default_threads(), 1);
}
