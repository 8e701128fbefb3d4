/* Cache sizes as the kernel's files give them. */
#include "simd/cache.h"
#include "tests/temp_files.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static void describe(const char *folder, int index, const char *level, const char *type, const char *size, const char *shared)
{
    const char *names[] = {"level", "type", "size", "shared_cpu_list"}, *texts[] = {level, type, size, shared};
    for (int i = 0; i < 4; i++)
        if (texts[i])
            temp_write(temp_path(folder, "index%d/%s", index, names[i]), texts[i], strlen(texts[i]));
}

Test(cache, share_of_one_cpu)
{
    char *folder = temp_folder();
    describe(folder, 0, "1\n", "Data\n", "48K\n", "0\n");
    describe(folder, 1, "1\n", "Instruction\n", "64K\n", "0\n");
    describe(folder, 2, "2\n", "Unified\n", "2M\n", "0-3\n");
    describe(folder, 3, "3\n", "Unified\n", "32M\n", "0-7\n");
    struct cache_sizes got = cache_sizes_in(folder);
    cr_assert(got.l1 == 48 * 1024, "%zu", got.l1);
    cr_assert(got.l2 == 512 * 1024, "%zu", got.l2);
    temp_remove(folder);
}

Test(cache, ways_of_l1)
{
    char *folder = temp_folder();
    describe(folder, 0, "1\n", "Data\n", "48K\n", "0\n");
    describe(folder, 1, "1\n", "Instruction\n", "32K\n", "0\n");
    cr_assert(cache_sizes_in(folder).l1_ways == 4, "not told");
    temp_write(temp_path(folder, "index0/ways_of_associativity"), "12\n", 3);
    temp_write(temp_path(folder, "index1/ways_of_associativity"), "8\n", 2);
    cr_assert(cache_sizes_in(folder).l1_ways == 12, "%d", cache_sizes_in(folder).l1_ways);
    temp_write(temp_path(folder, "index0/ways_of_associativity"), "0\n", 2);
    cr_assert(cache_sizes_in(folder).l1_ways == 4, "nonsense");
    temp_remove(folder);
}

Test(cache, lists_of_cpus)
{
    char *folder = temp_folder();
    describe(folder, 0, "1\n", "Data\n", "65536\n", "0,4\n");
    describe(folder, 2, "2\n", "Unified\n", "1024K\n", "0-1,4-5\n");
    struct cache_sizes got = cache_sizes_in(folder);
    cr_assert(got.l1 == 32 * 1024 && got.l2 == 256 * 1024, "%zu %zu", got.l1, got.l2);
    temp_remove(folder);
}

Test(cache, a_share_of_l2_is_no_less_than_l1)
{
    char *folder = temp_folder();
    describe(folder, 0, "1\n", "Data\n", "48K\n", "0\n");
    describe(folder, 2, "2\n", "Unified\n", "1024K\n", "0-63\n");
    struct cache_sizes got = cache_sizes_in(folder);
    cr_assert(got.l1 == 48 * 1024 && got.l2 == 512 * 1024, "%zu %zu", got.l1, got.l2);
    temp_remove(folder);
}

Test(cache, assumes_what_it_is_not_told)
{
    char *folder = temp_folder();
    struct cache_sizes nothing = cache_sizes_in(folder);
    cr_assert(nothing.l1 == 32 * 1024 && nothing.l2 == 512 * 1024);
    describe(folder, 0, "1\n", "Data\n", "many\n", "0\n");
    describe(folder, 1, "2\n", "Unified\n", "0K\n", NULL);
    describe(folder, 2, "2\n", NULL, "8M\n", "0\n");
    struct cache_sizes nonsense = cache_sizes_in(folder);
    cr_assert(nonsense.l1 == 32 * 1024 && nonsense.l2 == 512 * 1024, "%zu %zu", nonsense.l1, nonsense.l2);
    describe(folder, 3, "2\n", "Unified\n", "256K\n", NULL); /* no list: its own */
    cr_assert(cache_sizes_in(folder).l2 == 256 * 1024);
    temp_remove(folder);
}

Test(cache, this_machine_has_some)
{
    struct cache_sizes here = cache_sizes();
    cr_assert(here.l1 >= 4 * 1024 && here.l2 >= here.l1, "%zu %zu", here.l1, here.l2);
}
