#include "base/memory.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, LINE_BYTES = 4096 };

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The number after key at the start of a line of a file; key "": the file's first. UINT64_MAX: there is none, or it is "max". */
static uint64_t number_in(const char *path, const char *key)
{
    char line[LINE_BYTES];
    uint64_t value = UINT64_MAX;
    FILE *f = fopen(path, "re");
    while (f && value == UINT64_MAX && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0) {
            const char *digits = line + strlen(key) + strspn(line + strlen(key), " \t");
            if (*digits >= '0' && *digits <= '9')
                value = strtoull(digits, NULL, 10);
        }
    if (f)
        fclose(f);
    return value;
}

/* Where a version of cgroups keeps its figures. */
struct cgroup_files {
    const char *mount, *limit, *used, *reclaimable;
};
static const struct cgroup_files version1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                                             "total_inactive_file"};
static const struct cgroup_files version2 = {"/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"};

static uint64_t figure(const char *folder, const char *file, const char *key)
{
    char path[PATH_BYTES];
    int n = snprintf(path, sizeof path, "%s/%s", folder, file);
    return n < PATH_BYTES ? number_in(path, key) : UINT64_MAX;
}

/* What one group leaves: pages of files that nobody has used lately go before anything is refused. */
static uint64_t left_in_group(const char *folder, const struct cgroup_files *files)
{
    uint64_t limit = figure(folder, files->limit, ""), used = figure(folder, files->used, "");
    if (limit == UINT64_MAX || used == UINT64_MAX)
        return UINT64_MAX;
    uint64_t reclaimable = figure(folder, "memory.stat", files->reclaimable);
    used -= reclaimable == UINT64_MAX ? 0 : least(reclaimable, used);
    return limit > used ? limit - used : 0;
}

/* The least that the group at path leaves, and every group around it. Seen from a container, groups may be missing here: the
 * outermost folder is then the container's own. */
static uint64_t left_in_groups(const char *root, const struct cgroup_files *files, const char *path)
{
    char folder[PATH_BYTES];
    int n = snprintf(folder, sizeof folder, "%s%s", root, files->mount);
    size_t mount = (size_t)n;
    if (n >= PATH_BYTES || (size_t)snprintf(folder + mount, sizeof folder - mount, "%s", path) >= sizeof folder - mount)
        return UINT64_MAX;
    uint64_t left = UINT64_MAX;
    for (;;) {
        left = least(left, left_in_group(folder, files));
        char *slash = strrchr(folder + mount, '/');
        if (!slash)
            return left;
        *slash = 0;
    }
}

/* Lines of /proc/self/cgroup: "0::/path" (version 2), "5:cpu,memory:/path" (version 1). */
static uint64_t left_in_cgroups(const char *root)
{
    char line[LINE_BYTES];
    uint64_t left = UINT64_MAX;
    snprintf(line, sizeof line, "%s/proc/self/cgroup", root);
    FILE *f = fopen(line, "re");
    while (f && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        char *rest, *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *controllers++ = *path++ = 0;
        bool unified = strcmp(line, "0") == 0 && !*controllers;
        for (char *name = strtok_r(controllers, ",", &rest); name; name = strtok_r(NULL, ",", &rest))
            if (strcmp(name, "memory") == 0)
                left = least(left, left_in_groups(root, &version1, path));
        if (unified)
            left = least(left, left_in_groups(root, &version2, path));
    }
    if (f)
        fclose(f);
    return left;
}

static uint64_t available_below(const char *root)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    uint64_t kilobytes = number_in(path, "MemAvailable:");
    return least(kilobytes == UINT64_MAX ? UINT64_MAX : 1024 * kilobytes, left_in_cgroups(root));
}

static size_t known(uint64_t bytes)
{
    return bytes == UINT64_MAX ? 0 : (size_t)least(bytes, SIZE_MAX);
}

size_t memory_available_below(const char *root)
{
    return known(available_below(root));
}

size_t memory_available(void)
{
    uint64_t left = available_below("");
    struct rlimit space;
    uint64_t pages = number_in("/proc/self/statm", "");
    if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY && pages != UINT64_MAX) {
        uint64_t used = pages * (uint64_t)sysconf(_SC_PAGESIZE);
        left = least(left, space.rlim_cur > used ? space.rlim_cur - used : 0);
    }
    return known(left);
}
