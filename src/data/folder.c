/* A folder of image files: flat, nested, or one subfolder a class; train/ and val/ or test/ are found inside or beside. */
#define _XOPEN_SOURCE 700
#include "data/dataset_format.h"

#include "base/status.h"
#include "data/decode.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, MAX_DEPTH = 32, MAX_LINKED_FOLDERS = 100000 };

/* Files of up to LARGE bytes are read as they are. Larger ones only where the picture that their first HEAD bytes announce can fill
 * them. */
enum { HEAD = 1 << 20, LARGE = 64 << 20 };

struct item {
    char *path; /* relative to root; of a list of files as it was given */
    uint64_t bytes;
};
struct folder {
    char *root; /* NULL: a list of files */
    struct item *items;
    size_t count, capacity;
    struct stop stop;
    size_t linked_folders; /* read through symbolic links */
};

static bool is_image_name(const char *name)
{
    static const char *const extensions[] = {".jpg", ".jpeg", ".png", ".bmp"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof extensions / sizeof *extensions; i++)
        if (!strcasecmp(dot, extensions[i]))
            return true;
    return false;
}

static void folder_free(struct folder *folder)
{
    for (size_t i = 0; i < folder->count; i++)
        free(folder->items[i].path);
    free(folder->items);
    free(folder->root);
    *folder = (struct folder){0};
}

static enum simclr_status append(struct folder *folder, const char *relative, uint64_t bytes, struct simclr_error *err)
{
    if (folder->count == folder->capacity) {
        size_t capacity = folder->capacity ? 2 * folder->capacity : 256;
        struct item *grown = capacity <= SIZE_MAX / sizeof *grown ? realloc(folder->items, capacity * sizeof *grown) : NULL;
        if (!grown)
            return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for the list of %zu images", folder->count);
        folder->items = grown;
        folder->capacity = capacity;
    }
    char *path = strdup(relative);
    if (!path)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for the list of %zu images", folder->count);
    folder->items[folder->count++] = (struct item){.path = path, .bytes = bytes};
    return SIMCLR_OK;
}

/* The folders from root down to the one being read: a symbolic link back up to one of them is not followed. Links that fork into
 * each other's targets multiply without being loops, so folders below links are counted. */
struct ancestor {
    const struct ancestor *up;
    dev_t device;
    ino_t inode;
    bool linked;
};

static bool is_link(const char *path)
{
    struct stat st;
    return !lstat(path, &st) && S_ISLNK(st.st_mode);
}

static enum simclr_status scan(struct folder *folder, const char *relative, const struct ancestor *up, int depth,
                               struct simclr_error *err);

static enum simclr_status scan_entry(struct folder *folder, const char *relative, const char *name, const struct ancestor *up, int depth,
                                     struct simclr_error *err)
{
    char path[PATH_BYTES], full[PATH_BYTES];
    bool fits = *relative ? path_join(path, sizeof path, relative, name)
                          : (size_t)snprintf(path, sizeof path, "%s", name) < sizeof path;
    if (!fits || !path_join(full, sizeof full, folder->root, path))
        return fail(err, SIMCLR_ERR_USAGE, "a path in %s is too long: %.64s...; move the data to a shorter one", folder->root, relative);
    struct stat st;
    bool is_there = !stat(full, &st);
    if (!is_there && (errno == EIO || errno == ENOMEM || errno == ESTALE)) /* says nothing of the file; half a set would be another one */
        return fail(err, SIMCLR_ERR_IO, "cannot look at %s: %s", full, strerror(errno));
    if (!is_there || !S_ISDIR(st.st_mode)) { /* what cannot be read, a dangling link or a FIFO, will be listed as broken */
        uint64_t bytes = is_there && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
        return is_image_name(name) ? append(folder, path, bytes, err) : SIMCLR_OK;
    }
    struct ancestor here = {.up = up, .device = st.st_dev, .inode = st.st_ino, .linked = up->linked || is_link(full)};
    for (const struct ancestor *a = up; a; a = a->up)
        if (a->device == st.st_dev && a->inode == st.st_ino)
            return SIMCLR_OK;
    if (here.linked && ++folder->linked_folders > MAX_LINKED_FOLDERS)
        return fail(err, SIMCLR_ERR_USAGE, "symbolic links in %s lead to more than %d folders; remove links that lead into each other",
                    folder->root, MAX_LINKED_FOLDERS);
    return scan(folder, path, &here, depth + 1, err);
}

/* Hidden files and folders (".git", macOS's "._photo.jpg") are passed over. */
static enum simclr_status scan(struct folder *folder, const char *relative, const struct ancestor *up, int depth,
                               struct simclr_error *err)
{
    char full[PATH_BYTES];
    if (depth > MAX_DEPTH || !path_join(full, sizeof full, folder->root, relative))
        return fail(err, SIMCLR_ERR_USAGE, "the folders in %s are nested too deep; name one further down", folder->root);
    DIR *dir = opendir(full);
    if (!dir)
        return fail(err, SIMCLR_ERR_IO, "cannot read the folder %s: %s; make it readable, or move it elsewhere", full, strerror(errno));
    enum simclr_status status = SIMCLR_OK;
    struct dirent *entry;
    while (status == SIMCLR_OK && (errno = 0, entry = readdir(dir))) {
        if (stop_wanted(&folder->stop))
            status = fail(err, SIMCLR_ERR_CANCELLED, "stopped while the images in %s were listed", folder->root);
        else if (entry->d_name[0] != '.')
            status = scan_entry(folder, relative, entry->d_name, up, depth, err);
    }
    if (status == SIMCLR_OK && errno) /* the end is no error; half a list would be another set of images */
        status = fail(err, SIMCLR_ERR_IO, "cannot read the folder %s: %s", full, strerror(errno));
    closedir(dir);
    return status;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct item *)a)->path, ((const struct item *)b)->path);
}

/* All images below root in bytewise order of their paths, whatever order the file system lists them in. */
static enum simclr_status folder_scan(struct folder *folder, const char *root, struct simclr_error *err)
{
    struct stat st;
    if (stat(root, &st))
        return fail(err, SIMCLR_ERR_IO, "cannot read the folder %s: %s", root, strerror(errno));
    struct ancestor top = {.device = st.st_dev, .inode = st.st_ino};
    folder->root = strdup(root);
    if (!folder->root)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to read %s", root);
    enum simclr_status status = scan(folder, "", &top, 0, err);
    if (status == SIMCLR_OK && folder->count)
        qsort(folder->items, folder->count, sizeof *folder->items, by_path);
    return status;
}

/* Classes are the first-level subfolders, in order, if every image lies in one and there are at least two. */
struct classes {
    char **names; /* (count), sorted */
    int count;
};

static void classes_free(struct classes *classes)
{
    for (int i = 0; i < classes->count; i++)
        free(classes->names[i]);
    free(classes->names);
    *classes = (struct classes){0};
}

static size_t class_length(const char *path)
{
    const char *slash = strchr(path, '/');
    return slash ? (size_t)(slash - path) : 0;
}

static int compare_class(const char *name, const char *path)
{
    size_t n = class_length(path);
    int order = strncmp(name, path, n);
    return order ? order : name[n] != 0;
}

static int class_of(const struct classes *classes, const char *path)
{
    int low = 0, high = classes->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        int order = compare_class(classes->names[middle], path);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Paths of one class are not neighbours of each other only: "a/x", "a-b/x" and "a/y" sort by bytes, so names are made unique after. */
static enum simclr_status find_classes(struct classes *classes, const struct folder *folder, struct simclr_error *err)
{
    *classes = (struct classes){0};
    int capacity = 0;
    for (size_t i = 0; i < folder->count; i++) {
        const char *path = folder->items[i].path;
        size_t n = class_length(path);
        if (n == 0) {
            classes_free(classes);
            return SIMCLR_OK;
        }
        if (i && class_length(folder->items[i - 1].path) == n && !strncmp(folder->items[i - 1].path, path, n))
            continue;
        if (classes->count == capacity) {
            capacity = capacity ? 2 * capacity : 64;
            char **grown = realloc(classes->names, (size_t)capacity * sizeof *grown);
            if (!grown)
                return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for the classes of %s", folder->root);
            classes->names = grown;
        }
        if (!(classes->names[classes->count] = strndup(path, n)))
            return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for the classes of %s", folder->root);
        classes->count++;
    }
    if (classes->count)
        qsort(classes->names, (size_t)classes->count, sizeof *classes->names, by_name);
    if (classes->count < 2)
        classes_free(classes);
    return SIMCLR_OK;
}

/* Where training and evaluation pictures lie; test is empty when there are none. */
struct split_roots {
    char train[PATH_BYTES], test[PATH_BYTES];
};

static bool find_held_out(char *test, const char *parent)
{
    return (path_join(test, PATH_BYTES, parent, "val") && path_is_folder(test)) ||
           (path_join(test, PATH_BYTES, parent, "test") && path_is_folder(test));
}

static void find_roots(struct split_roots *roots, const char *path)
{
    char whole[PATH_MAX];
    snprintf(roots->train, sizeof roots->train, "%s", path);
    if (find_held_out(roots->test, path)) {
        char inner[PATH_BYTES];
        if (path_join(inner, sizeof inner, path, "train") && path_is_folder(inner)) {
            memcpy(roots->train, inner, sizeof inner);
            return;
        }
    }
    if (realpath(path, whole) && !strcmp(path_base(whole), "train")) {
        *strrchr(whole, '/') = 0;
        if (find_held_out(roots->test, whole))
            return;
    }
    roots->test[0] = 0;
}

static enum simclr_status label_items(struct dataset *set, const struct folder *folder, const struct classes *classes,
                                      struct simclr_error *err)
{
    set->classes = classes->count;
    if (classes->count == 0)
        return SIMCLR_OK;
    set->labels = malloc(folder->count * sizeof *set->labels);
    if (!set->labels)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for %zu labels", folder->count);
    for (size_t i = 0; i < folder->count; i++)
        set->labels[i] = class_of(classes, folder->items[i].path);
    return SIMCLR_OK;
}

static enum simclr_status no_image(const char *root, struct simclr_error *err)
{
    char python[PATH_BYTES];
    if ((path_join(python, sizeof python, root, "data_batch_1") && path_is_file(python)) ||
        (path_join(python, sizeof python, root, "cifar-10-batches-py") && path_is_folder(python)))
        return fail(err, SIMCLR_ERR_FORMAT, "%s holds the Python version of CIFAR-10; download the binary one (data/fetch.sh cifar10)", root);
    return fail(err, SIMCLR_ERR_IO, "no image (JPEG, PNG or BMP) in %s or below it; name a folder that holds some", root);
}

static void take_items(struct dataset *set, const struct folder *folder)
{
    set->total = folder->count;
    set->hash = HASH_START;
    for (size_t i = 0; i < folder->count; i++) {
        set->hash = hash_bytes(set->hash, folder->items[i].path, strlen(folder->items[i].path) + 1);
        set->hash = hash_u64(set->hash, folder->items[i].bytes);
    }
}

static enum simclr_status folder_open(struct dataset *set, const char *path, enum dataset_split split, struct simclr_error *err)
{
    struct split_roots roots;
    find_roots(&roots, path);
    set->kind = "folder of images";
    if (split == SPLIT_TEST && !strcmp(path_base(roots.test), "val"))
        set->part = "val";
    if (split == SPLIT_TEST && !roots.test[0])
        return SIMCLR_OK;
    struct folder *folder = calloc(1, sizeof *folder), train = {.stop = set->stop};
    if (!folder)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to read %s", path);
    set->state = folder;
    folder->stop = set->stop;
    const char *root = split == SPLIT_TEST ? roots.test : roots.train;
    enum simclr_status status = folder_scan(folder, root, err);
    if (status != SIMCLR_OK)
        return status;
    if (folder->count == 0)
        return split == SPLIT_TEST ? SIMCLR_OK : no_image(root, err);
    struct classes classes = {0};
    if (split == SPLIT_TEST) /* its classes are those of the training pictures, by name */
        status = folder_scan(&train, roots.train, err);
    if (status == SIMCLR_OK)
        status = find_classes(&classes, split == SPLIT_TEST ? &train : folder, err);
    if (status == SIMCLR_OK)
        status = label_items(set, folder, &classes, err);
    if (status == SIMCLR_OK && classes.count > 0)
        set->class_names = classes.names; /* of as many as the set now has */
    else
        classes_free(&classes);
    folder_free(&train);
    take_items(set, folder);
    return status;
}

enum simclr_status folder_open_files(struct dataset *set, const char *const *paths, size_t count, struct simclr_error *err)
{
    struct folder *folder = set->state = calloc(1, sizeof *folder);
    set->kind = "list of images";
    if (!folder)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory for the list of %zu images", count);
    for (size_t i = 0; i < count; i++) {
        struct stat st;
        if (strlen(paths[i]) >= PATH_BYTES)
            return fail(err, SIMCLR_ERR_USAGE, "the path %.80s... is too long", paths[i]);
        enum simclr_status status = append(folder, paths[i], !stat(paths[i], &st) && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0, err);
        if (status != SIMCLR_OK)
            return status;
    }
    take_items(set, folder);
    return SIMCLR_OK;
}

/* Adds bytes from an open file to data, up to `size`; fewer only where the file has become shorter. */
static enum simclr_status read_up_to(int fd, uint8_t *data, size_t *done, size_t size, struct simclr_error *err)
{
    while (*done < size) {
        ssize_t n = read(fd, data + *done, size - *done);
        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            return fail(err, SIMCLR_ERR_IO, "%s", strerror(errno));
        *done += n > 0 ? (size_t)n : 0;
    }
    return SIMCLR_OK;
}

static enum simclr_status check_large(const uint8_t *head, size_t done, size_t size, size_t max_pixels, struct simclr_error *err)
{
    struct image image;
    enum simclr_status status = image_header(&image, head, done, max_pixels, err);
    if (status == SIMCLR_OK && size > LARGE + (size_t)DECODE_PIXEL_BYTES * (size_t)image.w * (size_t)image.h)
        return fail(err, SIMCLR_ERR_FORMAT, "the file has %zu MB, far more than %d x %d pixels take", size >> 20, image.w, image.h);
    return status;
}

/* Reads a whole file; reasons name no path. *data is freed by the caller, after an error too. */
static enum simclr_status read_file(uint8_t **data, size_t *done, const char *path, size_t max_pixels, struct simclr_error *err)
{
    size_t size;
    int fd = path_open(path, &size);
    *data = NULL;
    *done = 0;
    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) /* of this machine, not of the file */
        return fail(err, SIMCLR_ERR_MEMORY, "cannot open it: %s", strerror(errno));
    if (fd < 0)
        return fail(err, SIMCLR_ERR_IO, "%s", errno ? strerror(errno) : "it is not a regular file");
    size_t head = size > LARGE ? HEAD : size;
    enum simclr_status status = SIMCLR_OK;
    if (!(*data = malloc(head + 1)))
        status = fail(err, SIMCLR_ERR_MEMORY, "not enough memory to read it (%zu MB)", head >> 20);
    if (status == SIMCLR_OK)
        status = read_up_to(fd, *data, done, head, err);
    if (status == SIMCLR_OK && head < size)
        status = check_large(*data, *done, size, max_pixels, err);
    if (status == SIMCLR_OK && head < size) {
        uint8_t *whole = realloc(*data, size);
        if (whole) {
            *data = whole;
            status = read_up_to(fd, whole, done, size, err);
        } else
            status = fail(err, SIMCLR_ERR_MEMORY, "not enough memory to read it (%zu MB)", size >> 20);
    }
    close(fd);
    return status;
}

static bool folder_item_path(const struct dataset *set, size_t index, char *text, size_t size)
{
    const struct folder *folder = set->state;
    const char *path = folder->items[index].path;
    return folder->root ? path_join(text, size, folder->root, path) : (size_t)snprintf(text, size, "%s", path) < size;
}

static enum simclr_status folder_read(const struct dataset *set, size_t index, struct image *image, struct simclr_error *err)
{
    char path[PATH_BYTES];
    uint8_t *data;
    size_t size;
    folder_item_path(set, index, path, sizeof path); /* fitted when it was found */
    enum simclr_status status = read_file(&data, &size, path, set->max_pixels, err);
    if (status == SIMCLR_OK)
        status = image_decode(image, data, size, set->max_pixels, err);
    free(data);
    return status;
}

static void folder_prefetch(const struct dataset *set, size_t index)
{
    char path[PATH_BYTES];
    size_t size;
    folder_item_path(set, index, path, sizeof path);
    int fd = path_open(path, &size);
    if (fd < 0)
        return;
    file_read_ahead(fd, 0, size < LARGE ? size : LARGE);
    close(fd);
}

static const char *folder_item_name(const struct dataset *set, size_t index)
{
    return ((const struct folder *)set->state)->items[index].path;
}

static void folder_close(struct dataset *set)
{
    if (set->state)
        folder_free(set->state);
}

const struct dataset_format format_folder = {
    .open = folder_open, .read = folder_read, .prefetch = folder_prefetch, .item_name = folder_item_name, .item_path = folder_item_path,
    .close = folder_close,
};
