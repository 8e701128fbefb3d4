#include "base/cgroup.h"

#include "base/ints.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096, LINE_BYTES = 4096 };

uint64_t cgroup_number(const char *folder, const char *file, const char *key)
{
    char path[PATH_BYTES], line[LINE_BYTES];
    uint64_t value = UINT64_MAX;
    int n = snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *f = n < PATH_BYTES ? fopen(path, "re") : NULL;
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

/* The least of the group at path and of every group around it. Seen from a container, groups may be missing here: the outermost
 * folder is then the container's own. */
static uint64_t least_upwards(const char *root, const char *mount, const char *path, cgroup_figure *figure)
{
    char folder[PATH_BYTES];
    int n = snprintf(folder, sizeof folder, "%s/sys/fs/cgroup%s%s", root, *mount ? "/" : "", mount);
    size_t top = (size_t)n;
    if (n >= PATH_BYTES || (size_t)snprintf(folder + top, sizeof folder - top, "%s", path) >= sizeof folder - top)
        return UINT64_MAX;
    uint64_t result = UINT64_MAX;
    for (;;) {
        result = min_u64(result, figure(folder));
        char *slash = strrchr(folder + top, '/');
        if (!slash)
            return result;
        *slash = 0;
    }
}

/* Lines of /proc/self/cgroup: "0::/path" (version 2), "5:cpu,memory:/path" (version 1). */
uint64_t cgroup_least(const char *root, const char *controller, cgroup_figure *version1, cgroup_figure *version2)
{
    char line[LINE_BYTES];
    uint64_t result = UINT64_MAX;
    if (snprintf(line, sizeof line, "%s/proc/self/cgroup", root) >= LINE_BYTES)
        return result;
    FILE *f = fopen(line, "re");
    while (f && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        char *rest, *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *controllers++ = *path++ = 0;
        bool unified = strcmp(line, "0") == 0 && !*controllers;
        for (char *name = strtok_r(controllers, ",", &rest); name; name = strtok_r(NULL, ",", &rest))
            if (strcmp(name, controller) == 0)
                result = min_u64(result, least_upwards(root, controller, path, version1));
        if (unified)
            result = min_u64(result, least_upwards(root, "", path, version2));
    }
    if (f)
        fclose(f);
    return result;
}
