#include "base/memory.h"

#include "base/cgroup.h"
#include "base/ints.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* What one group leaves: pages of files go before anything is refused. */
static uint64_t left(uint64_t limit, uint64_t used, uint64_t inactive, uint64_t active)
{
    if (limit == UINT64_MAX || used == UINT64_MAX)
        return UINT64_MAX;
    used -= inactive == UINT64_MAX ? 0 : min_u64(inactive, used);
    used -= active == UINT64_MAX ? 0 : min_u64(active, used);
    return limit > used ? limit - used : 0;
}

static uint64_t left_version1(const char *folder)
{
    return left(cgroup_number(folder, "memory.limit_in_bytes", ""), cgroup_number(folder, "memory.usage_in_bytes", ""),
                cgroup_number(folder, "memory.stat", "total_inactive_file"), cgroup_number(folder, "memory.stat", "total_active_file"));
}

static uint64_t left_version2(const char *folder)
{
    return left(cgroup_number(folder, "memory.max", ""), cgroup_number(folder, "memory.current", ""),
                cgroup_number(folder, "memory.stat", "inactive_file"), cgroup_number(folder, "memory.stat", "active_file"));
}

static uint64_t available_below(const char *root)
{
    uint64_t kilobytes = cgroup_number(root, "proc/meminfo", "MemAvailable:");
    return min_u64(kilobytes == UINT64_MAX ? UINT64_MAX : 1024 * kilobytes, cgroup_least(root, "memory", left_version1, left_version2));
}

static size_t known(uint64_t bytes)
{
    return bytes == UINT64_MAX ? 0 : bytes == 0 ? 1 : (size_t)min_u64(bytes, SIZE_MAX);
}

size_t memory_available_below(const char *root)
{
    return known(available_below(root));
}

size_t memory_available(void)
{
    uint64_t bytes = available_below("");
    struct rlimit space;
    uint64_t pages = cgroup_number("/proc/self", "statm", "");
    if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY && pages != UINT64_MAX) {
        uint64_t used = pages * (uint64_t)sysconf(_SC_PAGESIZE);
        bytes = min_u64(bytes, space.rlim_cur > used ? space.rlim_cur - used : 0);
    }
    return known(bytes);
}

size_t memory_resident(void)
{
    uint64_t kilobytes = cgroup_number("/proc/self", "status", "VmRSS:");
    return kilobytes == UINT64_MAX ? 0 : known(1024 * kilobytes);
}
