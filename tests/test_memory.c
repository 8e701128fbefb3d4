/* How much memory is left, from the files of a made-up system, and what is made of it. */
#include "base/arena.h"
#include "base/memory.h"
#include "tests/temp_files.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MB ((size_t)1 << 20)

static char *root;
static void setup(void) { root = temp_folder(); }
static void teardown(void) { temp_remove(root); }
TestSuite(memory, .init = setup, .fini = teardown);

static void file(const char *name, const char *text)
{
    temp_write(temp_path(root, "%s", name), text, strlen(text));
}

static void free_memory(const char *kilobytes)
{
    char text[256];
    snprintf(text, sizeof text, "MemTotal:       99999999 kB\nMemFree:          100 kB\nMemAvailable:   %s kB\n", kilobytes);
    file("proc/meminfo", text);
}

Test(memory, without_groups_it_is_what_the_system_has)
{
    cr_expect_eq(memory_available_below(root), 0, "nothing is known");
    free_memory("204800");
    cr_expect_eq(memory_available_below(root), 200 * MB);
    file("proc/self/cgroup", "0::/user.slice\n"); /* its folder cannot be seen */
    cr_expect_eq(memory_available_below(root), 200 * MB);
}

Test(memory, every_group_around_counts)
{
    free_memory("204800");
    file("proc/self/cgroup", "0::/a/b/c\n");
    file("sys/fs/cgroup/a/b/c/memory.max", "max\n");
    file("sys/fs/cgroup/a/b/c/memory.current", "1048576\n");
    cr_expect_eq(memory_available_below(root), 200 * MB);
    file("sys/fs/cgroup/a/memory.max", "104857600\n"); /* 100 MB, 60 used, of which 30 will be pages of files */
    file("sys/fs/cgroup/a/memory.current", "62914560\n");
    cr_expect_eq(memory_available_below(root), 40 * MB);
    file("sys/fs/cgroup/a/memory.stat", "anon 10\ninactive_anon 777\ninactive_file 20971520\nactive_file 10485760\n");
    cr_expect_eq(memory_available_below(root), 70 * MB);
    file("sys/fs/cgroup/a/b/memory.max", "10485760\n");
    file("sys/fs/cgroup/a/b/memory.current", "11534336\n"); /* over its limit already */
    cr_expect_eq(memory_available_below(root), 1);
    free_memory("1024");
    file("sys/fs/cgroup/a/b/memory.current", "0\n");
    cr_expect_eq(memory_available_below(root), MB, "the system has less than the groups allow");
}

/* In a container the outermost folder is the container's own, whatever path the outside knows it by. */
Test(memory, a_containers_limit_is_found)
{
    free_memory("204800");
    file("proc/self/cgroup", "0::/docker/0123\n");
    file("sys/fs/cgroup/memory.max", "52428800\n");
    file("sys/fs/cgroup/memory.current", "2097152\n");
    cr_expect_eq(memory_available_below(root), 48 * MB);
}

Test(memory, version_1_of_groups)
{
    free_memory("204800");
    file("proc/self/cgroup", "12:cpu,cpuacct:/x\n5:memory,hugetlb:/job/1\n1:name=systemd:/memory\n0::/\n");
    file("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    file("sys/fs/cgroup/memory/memory.usage_in_bytes", "1073741824\n");
    cr_expect_eq(memory_available_below(root), 200 * MB);
    file("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "31457280\n");
    file("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "20971520\n");
    file("sys/fs/cgroup/memory/job/memory.stat", "cache 1\ninactive_file 1\ntotal_inactive_file 4194304\ntotal_active_file 1048576\n");
    cr_expect_eq(memory_available_below(root), 15 * MB);
}

Test(memory, the_address_space_is_a_limit)
{
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    cr_assert(statm && fscanf(statm, "%lu", &pages) == 1);
    fclose(statm);
    cr_assert_gt(memory_available(), 64 * MB);
    struct rlimit space;
    cr_assert_eq(getrlimit(RLIMIT_AS, &space), 0);
    space.rlim_cur = pages * (size_t)sysconf(_SC_PAGESIZE) + 64 * MB;
    cr_assert_eq(setrlimit(RLIMIT_AS, &space), 0);
    size_t left = memory_available();
    cr_expect(left > 32 * MB && left <= 64 * MB, "%zu bytes", left);
}

/* The system grants more than there is, and kills whoever uses it. */
Test(memory, no_block_is_larger_than_what_is_left)
{
    struct arena arena = {0};
    size_t bytes = memory_available() + 512 * MB;
    void *granted = malloc(bytes);
    if (!granted)
        cr_skip("this system refuses it itself");
    free(granted);
    arena_alloc(&arena, bytes, 1);
    cr_expect_eq(arena_commit(&arena), -1);
    arena = (struct arena){0};
    arena_alloc(&arena, MB, 1);
    cr_expect_eq(arena_commit(&arena), 0);
    arena_free(&arena);
    cr_expect_null(alloc_aligned(bytes, 1));
}
