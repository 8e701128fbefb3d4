/* Reading ahead: files come into the system's cache; those that vanish or are no files do no harm. */
#define _DEFAULT_SOURCE
#include "data/prefetch.h"
#include "tests/temp_files.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { COUNT = 6, BYTES = 2400000, PAGE = 4096 }; /* more than one request takes on many disks */

static char *root;
static void setup(void) { root = temp_folder(); }
static void teardown(void) { temp_remove(root); }
TestSuite(prefetch, .init = setup, .fini = teardown, .timeout = 60);

/* Nobody decodes them here. */
static struct dataset *pictures(void)
{
    void *data = calloc(1, BYTES);
    for (int i = 0; i < COUNT; i++)
        temp_write(temp_path(root, "%02d.bmp", i), data, BYTES);
    free(data);
    struct dataset *set;
    cr_assert_eq(dataset_open(&set, root, SPLIT_TRAIN, &(struct dataset_options){.channels = 3}, NULL), SIMCLR_OK);
    return set;
}

/* Share of a file's pages that are in memory. */
static double resident(int i)
{
    int fd = open(temp_path(root, "%02d.bmp", i), O_RDONLY);
    struct stat st;
    cr_assert(fd >= 0 && fstat(fd, &st) == 0);
    size_t pages = ((size_t)st.st_size + PAGE - 1) / PAGE, there = 0;
    unsigned char *state = malloc(pages);
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    cr_assert(map != MAP_FAILED && mincore(map, (size_t)st.st_size, state) == 0);
    for (size_t p = 0; p < pages; p++)
        there += state[p] & 1;
    munmap(map, (size_t)st.st_size);
    close(fd);
    free(state);
    return (double)there / (double)pages;
}

static void evict(int i)
{
    int fd = open(temp_path(root, "%02d.bmp", i), O_RDWR);
    cr_assert(fd >= 0 && fsync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
    close(fd);
}

static bool whole_soon(int i)
{
    for (int tries = 0; tries < 1000 && resident(i) < 1; tries++)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    return resident(i) == 1;
}

Test(prefetch, files_come_into_memory)
{
    struct dataset *set = pictures();
    for (int i = 0; i < COUNT; i++)
        evict(i);
    if (resident(1) > 0)
        cr_skip("this file system keeps its files in memory");
    struct prefetcher *prefetcher = prefetch_start(set, COUNT);
    cr_assert_not_null(prefetcher);
    prefetch_images(prefetcher, (uint32_t[]){1, 3, 4}, 3);
    cr_expect(whole_soon(1) && whole_soon(3) && whole_soon(4));
    cr_expect_lt(resident(2), 1, "it was not asked for");
    prefetch_stop(prefetcher);
    dataset_close(set);
}

Test(prefetch, what_is_no_file_any_more_does_no_harm)
{
    struct dataset *set = pictures();
    cr_assert(unlink(temp_path(root, "01.bmp")) == 0 && unlink(temp_path(root, "02.bmp")) == 0);
    cr_assert_eq(mkfifo(temp_path(root, "02.bmp"), 0600), 0); /* opening it to read would wait for a writer */
    struct prefetcher *prefetcher = prefetch_start(set, COUNT);
    cr_assert_not_null(prefetcher);
    prefetch_images(prefetcher, (uint32_t[]){0, 1, 2, COUNT, UINT32_MAX, 5}, 6);
    cr_expect(whole_soon(5));
    prefetch_stop(prefetcher);
    dataset_close(set);
}

Test(prefetch, starts_and_stops_at_any_moment)
{
    struct dataset *set = pictures(), *generated;
    uint32_t list[2 * COUNT];
    for (uint32_t i = 0; i < 2 * COUNT; i++)
        list[i] = i % COUNT;
    for (size_t round = 0; round < 200; round++) {
        struct prefetcher *prefetcher = prefetch_start(set, COUNT);
        cr_assert_not_null(prefetcher);
        for (size_t n = 0; n < round % 5; n++)
            prefetch_images(prefetcher, list + n, COUNT + n); /* more than there is room for is cut */
        prefetch_stop(prefetcher);
    }
    dataset_close(set);
    cr_assert_eq(dataset_open(&generated, NULL, SPLIT_TRAIN, &(struct dataset_options){.channels = 3}, NULL), SIMCLR_OK);
    cr_expect_null(prefetch_start(generated, COUNT), "a set without files");
    prefetch_images(NULL, list, 1);
    prefetch_stop(NULL);
    dataset_close(generated);
}
