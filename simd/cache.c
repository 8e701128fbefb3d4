#include "simd/cache.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CACHES = 8, DEFAULT_L1 = 32 * 1024, DEFAULT_L2 = 512 * 1024, DEFAULT_WAYS = 4 };

/* The first line of folder/index<i>/name; 0 when there is none. */
static int read_line(char *line, int size, const char *folder, int index, const char *name)
{
    char path[512];
    if (snprintf(path, sizeof path, "%s/index%d/%s", folder, index, name) >= (int)sizeof path)
        return 0;
    FILE *f = fopen(path, "r");
    if (!f)
        return 0;
    char *got = fgets(line, size, f);
    fclose(f);
    return got != NULL;
}

/* "32K", "1M" or "32768"; 0 for what begins with no number. */
static size_t parse_size(const char *text)
{
    char *end;
    unsigned long long n = strtoull(text, &end, 10);
    size_t unit = *end == 'K' ? 1024 : *end == 'M' ? 1024 * 1024 : 1;
    if (end == text || n > SIZE_MAX / 16 / unit) /* no cache is that large, and several may be added up */
        return 0;
    return (size_t)n * unit;
}

/* CPUs in a list such as "0-3,8"; at least 1. */
static size_t count_cpus(const char *list)
{
    size_t count = 0;
    while (*list) {
        char *end;
        unsigned long first = strtoul(list, &end, 10), last = first;
        if (end == list)
            break;
        if (*end == '-')
            last = strtoul(end + 1, &end, 10);
        count += last >= first ? last - first + 1 : 1;
        if (*end != ',')
            break;
        list = end + 1;
    }
    return count ? count : 1;
}

struct cache_sizes cache_sizes_in(const char *folder)
{
    struct cache_sizes sizes = {DEFAULT_L1, DEFAULT_L2, DEFAULT_WAYS};
    for (int i = 0; i < MOST_CACHES; i++) {
        char level[16], type[32], size[32], shared[1024];
        if (!read_line(level, sizeof level, folder, i, "level") || !read_line(type, sizeof type, folder, i, "type") ||
            !read_line(size, sizeof size, folder, i, "size") || strncmp(type, "Instruction", 11) == 0)
            continue;
        size_t cpus = read_line(shared, sizeof shared, folder, i, "shared_cpu_list") ? count_cpus(shared) : 1;
        size_t bytes = parse_size(size) / cpus;
        if (bytes && level[0] == '1') {
            char ways[16];
            int n = read_line(ways, sizeof ways, folder, i, "ways_of_associativity") ? (int)strtol(ways, NULL, 10) : 0;
            sizes.l1 = bytes;
            sizes.l1_ways = n > 0 ? n : DEFAULT_WAYS;
        } else if (bytes && level[0] == '2')
            sizes.l2 = bytes;
    }
    if (sizes.l2 < sizes.l1) /* a virtual machine that says all its CPUs share one L2 */
        sizes.l2 = DEFAULT_L2;
    return sizes;
}

struct cache_sizes cache_sizes(void) { return cache_sizes_in("/sys/devices/system/cpu/cpu0/cache"); }
