/* Batches: the epoch's order, streams per image, broken images, caches and threads that change nothing. */
#include "base/clock.h"
#include "base/rng.h"
#include "data/dataset_format.h"
#include "data/loader.h"
#include "simd/dispatch.h"
#include "tests/temp_files.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { SIDE = 8, COUNT = 12, FLOATS = SIDE * SIDE * 3, ROOM = 1 << 20 };

static char *root;
static void setup(void) { root = temp_folder(); }
static void teardown(void) { temp_remove(root); }
TestSuite(loader, .init = setup, .fini = teardown);

static struct dataset *pictures(int count)
{
    for (int i = 0; i < count; i++)
        write_gradient(temp_path(root, "%d/%02d.bmp", i % 2, i), 10 + i, 16, (unsigned)i);
    struct dataset *set;
    cr_assert_eq(dataset_open(&set, root, SPLIT_TRAIN, &(struct dataset_options){.channels = 3}, NULL), SIMCLR_OK);
    return set;
}

static struct loader *make(const struct dataset *set, int threads, size_t cache)
{
    static struct engine engines[8];
    static int used;
    struct engine *engine = &engines[used++ % 8];
    *engine = (struct engine){.kernels = isa_resolve("scalar"), .threads = threads};
    struct loader_config config = {.image_size = SIDE, .channels = 3, .seed = 5};
    augment_preset(&config.augment, "paper");
    uint32_t items[COUNT];
    size_t count = dataset_size(set);
    for (size_t i = 0; i < count; i++)
        items[i] = (uint32_t)i;
    struct loader *loader;
    struct simclr_error err;
    cr_assert_eq(loader_create(&loader, set, items, count, &config, engine, &err), SIMCLR_OK, "%s", err.text);
    loader_cache(loader, cache, false);
    return loader;
}

static void batch(struct loader *loader, float *out, uint32_t epoch, size_t first, int count)
{
    struct simclr_error err = {""};
    cr_assert_eq(loader_batch(loader, out, epoch, first, count, &err), SIMCLR_OK, "%s", err.text);
}

/* An epoch in batches of `step`, as (2, COUNT, FLOATS) whatever the step. */
static void epoch_of(struct loader *loader, float *views, uint32_t epoch, int step)
{
    float out[2 * COUNT * FLOATS];
    for (int first = 0; first < COUNT; first += step) {
        int n = COUNT - first < step ? COUNT - first : step;
        batch(loader, out, epoch, (size_t)first, n);
        for (int view = 0; view < 2; view++)
            memcpy(views + (view * COUNT + first) * FLOATS, out + view * n * FLOATS, (size_t)n * FLOATS * sizeof *out);
    }
}

Test(loader, batch_size_threads_and_cache_change_nothing)
{
    struct dataset *set = pictures(COUNT);
    static float want[2 * COUNT * FLOATS], got[2 * COUNT * FLOATS];
    struct loader *plain = make(set, 1, 0);
    epoch_of(plain, want, 3, COUNT);
    const struct {
        int threads, step;
        size_t cache;
    } cases[] = {{1, 5, 0}, {3, COUNT, 0}, {3, 5, ROOM}, {2, 1, ROOM}, {3, 4, 1500}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct loader *other = make(set, cases[i].threads, cases[i].cache);
        epoch_of(other, got, 2, cases[i].step); /* fills the cache */
        epoch_of(other, got, 3, cases[i].step);
        cr_expect_arr_eq(got, want, sizeof want, "case %zu", i);
        loader_free(other);
    }
    epoch_of(plain, got, 4, COUNT);
    cr_expect_arr_neq(got, want, sizeof want);
    cr_expect_arr_neq(want, want + COUNT * FLOATS, sizeof want / 2); /* the views differ */
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        cr_assert(want[i] >= 0.0f && want[i] <= 1.0f);
    loader_free(plain);
    dataset_close(set);
}

Test(loader, one_view_is_the_first_of_two)
{
    struct dataset *set = pictures(COUNT);
    struct engine engine = {.kernels = isa_resolve("scalar"), .threads = 2};
    struct loader_config config = {.image_size = SIDE, .channels = 3, .one_view = true, .seed = 5};
    static float two[2 * COUNT * FLOATS], one[COUNT * FLOATS];
    struct simclr_error err;
    struct loader *both = make(set, 1, 0), *single;
    augment_preset(&config.augment, "paper");
    cr_assert_eq(loader_create(&single, set, NULL, COUNT, &config, &engine, &err), SIMCLR_OK);
    epoch_of(both, two, 3, COUNT);
    batch(single, one, 3, 0, COUNT);
    cr_expect_arr_eq(one, two, sizeof one);
    loader_free(both);
    loader_free(single);
    dataset_close(set);
}

/* Slot s of an epoch is the image at order[s] with the streams that loader.h promises. */
Test(loader, order_and_streams_are_as_promised)
{
    struct dataset *set = pictures(COUNT);
    struct loader *loader = make(set, 2, ROOM);
    static float views[2 * COUNT * FLOATS];
    float want[FLOATS];
    epoch_of(loader, views, 7, 5);
    uint32_t order[COUNT];
    struct rng shuffle = rng_stream(5, RNG_SHUFFLE, 7, 0);
    rng_permutation(&shuffle, order, COUNT);
    struct augment_config config;
    augment_preset(&config, "paper");
    for (int slot = 0; slot < COUNT; slot++)
        for (int view = 0; view < 2; view++) {
            struct image image;
            struct augment_params params;
            struct rng rng = rng_stream(5, RNG_AUGMENT, 7, 2 * order[slot] + (uint64_t)view);
            cr_assert_eq(dataset_read(set, order[slot], &image, NULL), SIMCLR_OK);
            augment_draw(&params, &config, image.h, image.w, &rng);
            void *scratch = calloc(1, augment_scratch(image.h, image.w, 3, SIDE) + 64);
            void *aligned = (void *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63);
            augment_apply(isa_resolve("scalar"), want, &image, &params, &config, SIDE, aligned);
            cr_expect_arr_eq(views + (view * COUNT + slot) * FLOATS, want, sizeof want, "slot %d view %d", slot, view);
            free(scratch);
            image_release(&image);
        }
    loader_free(loader);
    dataset_close(set);
}

/* Places of broken images have the name of the next one that can be read. */
static void expect_names_of_what_served(const struct loader *loader)
{
    char names[COUNT][16];
    int different = 0;
    for (size_t i = 0; i < COUNT; i++) {
        loader_name(loader, i, names[i], sizeof names[i]);
        cr_expect(strcmp(names[i], "0/04.bmp") && strcmp(names[i], "1/03.bmp") && strcmp(names[i], "1/05.bmp"), "place %zu: %s", i, names[i]);
    }
    for (size_t i = 0; i < COUNT; i++)
        different += strcmp(names[i], names[(i + 1) % COUNT]) != 0;
    cr_expect_eq(different, COUNT - 3);
}

Test(loader, broken_images_are_replaced_and_listed_once)
{
    dataset_close(pictures(COUNT));
    temp_write(temp_path(root, "0/04.bmp"), "", 0);
    temp_write(temp_path(root, "1/03.bmp"), "BM", 2);
    temp_write(temp_path(root, "1/05.bmp"), "text", 4);
    struct dataset *set = pictures(0);
    static float want[2 * COUNT * FLOATS], got[2 * COUNT * FLOATS];
    const char *const expected[] = {"0/04.bmp: the file is empty", "1/03.bmp: the BMP ends before its picture does: it is cut short, copy it again",
                                    "1/05.bmp: not a JPEG, PNG or BMP file, whatever its name says"};
    for (int threads = 1; threads <= 3; threads++) {
        struct loader *loader = make(set, threads, threads == 2 ? 0 : ROOM);
        for (int again = 0; again < 2; again++) { /* and once they are known, in batches of another size */
            bool first = threads == 1 && !again;
            epoch_of(loader, first ? want : got, 1, (threads == 3) == again ? COUNT : 5);
            if (!first)
                cr_expect_arr_eq(got, want, sizeof want, "%d threads", threads);
        }
        const char *const *messages;
        cr_assert_eq(loader_broken(loader, &messages), 3);
        for (int i = 0; i < 3; i++)
            cr_expect_str_eq(messages[i], expected[i]);
        expect_names_of_what_served(loader);
        loader_free(loader);
    }
    dataset_close(set);
}

/* What this machine is short of says nothing of an image: it is not replaced, and may be read later. */
Test(loader, without_descriptors_no_image_is_broken)
{
    struct dataset *set = pictures(COUNT);
    struct loader *loader = make(set, 2, 0);
    static float views[2 * COUNT * FLOATS];
    struct simclr_error err;
    struct rlimit limit;
    batch(loader, views, 0, 0, COUNT); /* clang's OpenMP opens a file as its threads begin */
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max}), 0);
    enum simclr_status status = loader_batch(loader, views, 1, 0, COUNT, &err);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_expect(status == SIMCLR_ERR_MEMORY && strstr(err.text, ".bmp: cannot open it: Too many open files"), "%d: %s", (int)status, err.text);
    const char *const *messages;
    cr_expect_eq(loader_broken(loader, &messages), 0);
    batch(loader, views, 1, 0, COUNT);
    loader_free(loader);
    dataset_close(set);
}

Test(loader, clean_images_and_labels)
{
    dataset_close(pictures(COUNT));
    temp_write(temp_path(root, "0/04.bmp"), "", 0);
    struct dataset *set = pictures(0);
    struct loader *loader = make(set, 2, ROOM);
    static float out[COUNT * FLOATS], zeros[FLOATS];
    int labels[COUNT];
    memset(out, 0xff, sizeof out);
    struct simclr_error err;
    cr_assert_eq(loader_clean(loader, out, labels, 0, COUNT, &err), SIMCLR_OK);
    for (int i = 0; i < COUNT; i++) {
        cr_expect_eq(labels[i], i == 2 ? LABEL_BROKEN : i / 6); /* 0/00 0/02 0/04 ... 1/11 */
        cr_expect_eq(memcmp(out + i * FLOATS, zeros, sizeof zeros) == 0, i == 2, "image %d", i);
    }
    const char *const *messages;
    cr_expect_eq(loader_broken(loader, &messages), 1);
    float part[2 * FLOATS];
    cr_assert_eq(loader_clean(loader, part, NULL, 6, 2, &err), SIMCLR_OK);
    cr_expect_arr_eq(part, out + 6 * FLOATS, sizeof part);
    cr_expect_eq(loader_clean(loader, part, NULL, COUNT, 1, &err), SIMCLR_ERR_USAGE);
    loader_free(loader);
    dataset_close(set);
}

/* Files read ahead may be gone when their turn comes: then they are broken, as without. */
Test(loader, files_that_vanish_meanwhile_are_skipped)
{
    static float want[2 * COUNT * FLOATS], got[2 * COUNT * FLOATS];
    struct dataset *set = pictures(COUNT);
    uint32_t order[COUNT];
    struct rng shuffle = rng_stream(5, RNG_SHUFFLE, 1, 0);
    rng_permutation(&shuffle, order, COUNT);
    struct loader *loader = make(set, 2, 0), *later = make(set, 1, 0);
    batch(loader, got, 1, 0, 4); /* and 4 to 7 are read ahead */
    char name[64];
    cr_assert_eq(unlink(temp_path(root, "%s", dataset_item_name(set, order[5], name, sizeof name))), 0);
    batch(loader, got, 1, 4, 4);
    batch(later, want, 1, 4, 4);
    cr_expect_arr_eq(got, want, 2 * 4 * FLOATS * sizeof *got);
    const char *const *messages;
    cr_assert_eq(loader_broken(loader, &messages), 1);
    cr_expect(strstr(messages[0], name) && strstr(messages[0], "No such file"), "%s", messages[0]);
    loader_free(loader);
    loader_free(later);
    dataset_close(set);
}

/* Once decoded they are not read again: their files may go. Without a cache none can be read then. */
Test(loader, what_is_cached_is_not_read_again)
{
    static float want[2 * COUNT * FLOATS], got[2 * COUNT * FLOATS];
    struct dataset *set = pictures(COUNT);
    struct loader *cached = make(set, 2, (size_t)-1), *passing = make(set, 2, 0);
    epoch_of(cached, got, 1, 4);
    epoch_of(passing, want, 1, 4);
    epoch_of(passing, want, 2, 4);
    char name[64];
    for (size_t i = 0; i < COUNT; i++)
        cr_assert_eq(unlink(temp_path(root, "%s", dataset_item_name(set, i, name, sizeof name))), 0);
    epoch_of(cached, got, 2, 4);
    cr_expect_arr_eq(got, want, sizeof got);
    const char *const *messages;
    cr_expect_eq(loader_broken(cached, &messages), 0);
    struct simclr_error err = {""};
    cr_expect_neq(loader_batch(passing, got, 3, 0, 4, &err), SIMCLR_OK);
    loader_free(cached);
    loader_free(passing);
    dataset_close(set);
}

/* A set that notes what is asked for ahead, in order. */
static uint32_t asked[64];
static atomic_int asked_count;

static enum simclr_status read_grey(const struct dataset *set, size_t index, struct image *image, struct simclr_error *err)
{
    (void)set, (void)err;
    *image = (struct image){.h = SIDE, .w = SIDE, .c = 3, .pixels = malloc(FLOATS), .owned = 1};
    memset(image->pixels, (int)index, FLOATS);
    return SIMCLR_OK;
}

static void note_asked(const struct dataset *set, size_t index)
{
    (void)set;
    int at = atomic_load(&asked_count);
    if (at < 64)
        asked[at] = (uint32_t)index;
    atomic_store(&asked_count, at + 1);
}

/* The other thread asks for so many in all, and for no more. */
static bool asked_for(int count)
{
    for (int tries = 0; tries < 2000 && atomic_load(&asked_count) < count; tries++)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    return atomic_load(&asked_count) == count;
}

/* This batch and the next, each image once, in the order in which they are needed. */
Test(loader, the_next_batch_is_read_ahead)
{
    const struct dataset_format noting = {.read = read_grey, .prefetch = note_asked};
    const struct dataset set = {.format = &noting, .kind = "test", .total = COUNT, .size = COUNT, .channels = 3};
    static float out[2 * COUNT * FLOATS];
    struct simclr_error err;
    uint32_t order[COUNT];
    struct rng shuffle = rng_stream(5, RNG_SHUFFLE, 2, 0);
    rng_permutation(&shuffle, order, COUNT);
    struct loader *loader = make(&set, 2, 0), *cached = make(&set, 2, ROOM);
    for (int step = 0; step < 4; step++) {
        batch(loader, out, 2, (size_t)step * 3, 3);
        int count = step < 3 ? 3 * (step + 2) : COUNT;
        cr_assert(asked_for(count), "step %d: %d", step, atomic_load(&asked_count));
        cr_assert_arr_eq(asked, order, (size_t)count * sizeof *order, "step %d", step);
    }
    atomic_store(&asked_count, 0);
    cr_assert_eq(loader_clean(loader, out, NULL, 0, 3, &err), SIMCLR_OK);
    cr_expect(asked_for(6) && asked[0] == 0 && asked[5] == 5);
    atomic_store(&asked_count, 0);
    epoch_of(cached, out, 1, COUNT);
    cr_expect(asked_for(COUNT));
    epoch_of(cached, out, 2, COUNT);
    cr_expect(asked_for(COUNT), "what is in memory is not asked for");
    loader_free(loader);
    loader_free(cached);
}

/* Nothing is read once it is asked to stop. */
static bool stop_now(void *ctx) { (void)ctx; return true; }
Test(loader, stops_when_asked)
{
    struct dataset *set = pictures(4);
    struct engine engine = {.kernels = isa_resolve("scalar"), .threads = 2, .stop = {stop_now, NULL}};
    struct loader_config config = {.image_size = SIDE, .channels = 3};
    const uint32_t items[] = {0, 1, 2, 3};
    struct loader *loader;
    float out[4 * FLOATS];
    struct simclr_error err;
    cr_assert_eq(loader_create(&loader, set, items, 4, &config, &engine, &err), SIMCLR_OK);
    cr_expect_eq(loader_clean(loader, out, NULL, 0, 4, &err), SIMCLR_ERR_CANCELLED);
    loader_free(loader);
    dataset_close(set);
}

/* All threads' seconds, and those of training alone. */
Test(loader, time_spent_is_counted)
{
    struct dataset *set = pictures(COUNT);
    for (int threads = 1; threads <= 3; threads++) {
        struct loader *loader = make(set, threads, 0);
        static float out[2 * COUNT * FLOATS];
        struct simclr_error err;
        cr_assert_eq(loader_clean(loader, out, NULL, 0, COUNT, &err), SIMCLR_OK);
        cr_expect_eq(loader_busy(loader), 0);
        double began = clock_seconds();
        batch(loader, out, 0, 0, COUNT);
        double wall = clock_seconds() - began, busy = loader_busy(loader);
        cr_expect(busy > 0 && busy <= wall * threads, "%g s of %g s on %d threads", busy, wall, threads);
        batch(loader, out, 0, 0, COUNT);
        cr_expect_gt(loader_busy(loader), busy);
        loader_free(loader);
    }
    dataset_close(set);
}

Test(loader, nothing_readable_is_an_error)
{
    for (int i = 0; i < 4; i++)
        temp_write(temp_path(root, "%d.png", i), "x", 1);
    struct dataset *set = pictures(0);
    struct loader *loader = make(set, 3, ROOM);
    float out[4 * FLOATS];
    struct simclr_error err = {""};
    cr_expect_eq(loader_batch(loader, out, 0, 0, 2, &err), SIMCLR_ERR_FORMAT);
    cr_expect_not_null(strstr(err.text, "none of the 4 images can be read"), "%s", err.text);
    cr_expect_eq(loader_batch(loader, out, 0, 0, 2, &err), SIMCLR_ERR_FORMAT);
    cr_expect_eq(loader_batch(loader, out, 0, 3, 2, &err), SIMCLR_ERR_USAGE);
    cr_expect_not_null(strstr(err.text, "does not fit a set of 4"), "%s", err.text);
    const char *const *messages;
    cr_expect_eq(loader_broken(loader, &messages), 4);
    loader_free(loader);
    dataset_close(set);
}

Test(loader, items_choose_images)
{
    struct dataset *set = pictures(6);
    struct engine engine = {.kernels = isa_resolve("scalar"), .threads = 1};
    struct loader_config config = {.image_size = SIDE, .channels = 3};
    augment_preset(&config.augment, "none");
    struct loader *all, *some;
    const uint32_t every[] = {0, 1, 2, 3, 4, 5}, two[] = {4, 1}, wrong[] = {6};
    struct simclr_error err;
    cr_assert_eq(loader_create(&all, set, every, 6, &config, &engine, &err), SIMCLR_OK);
    cr_assert_eq(loader_create(&some, set, two, 2, &config, &engine, &err), SIMCLR_OK);
    cr_expect(loader_size(some) == 2 && loader_image_floats(some) == FLOATS);
    float whole[6 * FLOATS], part[2 * FLOATS];
    cr_assert_eq(loader_clean(all, whole, NULL, 0, 6, &err), SIMCLR_OK);
    cr_assert_eq(loader_clean(some, part, NULL, 0, 2, &err), SIMCLR_OK);
    cr_expect_arr_eq(part, whole + 4 * FLOATS, sizeof part / 2);
    cr_expect_arr_eq(part + FLOATS, whole + FLOATS, sizeof part / 2);
    loader_free(all);
    loader_free(some);
    cr_expect_eq(loader_create(&all, set, wrong, 1, &config, &engine, &err), SIMCLR_ERR_USAGE);
    cr_expect_eq(loader_create(&all, set, wrong, 0, &config, &engine, &err), SIMCLR_ERR_USAGE);
    dataset_close(set);
}
