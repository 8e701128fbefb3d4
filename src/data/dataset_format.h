/* What a format gives to dataset.c, and what formats share. Private to src/data. */
#ifndef DATA_DATASET_FORMAT_H
#define DATA_DATASET_FORMAT_H

#include "data/dataset.h"

struct dataset {
    const struct dataset_format *format;
    const char *kind;
    const char *part; /* dataset_part */
    size_t total;    /* images in the files */
    size_t size;     /* images shown: total, or the limit */
    int classes;     /* 0: no labels */
    int channels;    /* of the images handed out */
    size_t max_pixels;
    bool raw;
    struct stop stop; /* of the options */
    int32_t *labels; /* (total), -1: none; NULL when classes == 0 */
    char **class_names; /* (classes), each from malloc; NULL: they have numbers */
    uint64_t hash;   /* of format, sizes, names */
    void *state;     /* the format's own */
};

struct dataset_format {
    /* Fills kind, total, classes, raw, labels, hash and state of a dataset that has only its options. total 0 with SIMCLR_OK: no such split.
     * After an error, close is called too. */
    enum simclr_status (*open)(struct dataset *dataset, const char *path, enum dataset_split split, struct simclr_error *err);
    /* 0 <= index < total; image->c may be 1 or 3, whatever the file holds. Errors give the reason, without the image's name. */
    enum simclr_status (*read)(const struct dataset *dataset, size_t index, struct image *image, struct simclr_error *err);
    void (*prefetch)(const struct dataset *dataset, size_t index); /* NULL: there are no files */
    const char *(*item_name)(const struct dataset *dataset, size_t index); /* NULL: images have numbers, not names */
    bool (*item_path)(const struct dataset *dataset, size_t index, char *text, size_t size); /* NULL: they have no files of their own */
    void (*close)(struct dataset *dataset);
};

extern const struct dataset_format format_arrays, format_cifar, format_folder, format_generated, format_npy, format_stl10;

/* In place of format_arrays' open, and of format_folder's. */
enum simclr_status arrays_open(struct dataset *dataset, const uint8_t *pixels, const int32_t *labels, size_t count, int h, int w, int c,
                               struct simclr_error *err);
enum simclr_status folder_open_files(struct dataset *dataset, const char *const *paths, size_t count, struct simclr_error *err);

/* A folder (or for CIFAR and .npy a file) of this format? where receives the folder that holds the files: path, or the
 * subfolder that the official archive unpacks to. */
bool cifar_recognise(const char *path, char *where, size_t size);
bool stl10_recognise(const char *path, char *where, size_t size);

/* The classes' names from a file that may lie beside the data, a line each; where it has not as many lines they keep their numbers. */
void class_names_read(struct dataset *dataset, const char *folder, const char *file);

/* FNV-1a, 64 bits, continued from hash. */
#define HASH_START UINT64_C(0xcbf29ce484222325)
uint64_t hash_bytes(uint64_t hash, const void *data, size_t size);
uint64_t hash_u64(uint64_t hash, uint64_t value);

/* "folder/name" into text; false if it does not fit. */
bool path_join(char *text, size_t size, const char *folder, const char *name);
const char *path_base(const char *path); /* after the last '/' */
/* Opens a regular file for reading and says how long it is. -1: errno has the reason, or 0 if it is another thing than a file: that
 * is not opened, for a FIFO would be waited for and a device might do anything. */
int path_open(const char *path, size_t *size);
/* Has the system read bytes [offset, offset + size) of an open file into its cache soon. */
void file_read_ahead(int fd, size_t offset, size_t size);
bool path_is_folder(const char *path);
bool path_is_file(const char *path);

/* Files of equal records, each a few bytes of header (labels) and the pixels of one image. Read with pread: a file that shrinks
 * meanwhile is an error, where a mapping would be a signal. */
enum record_layout { LAYOUT_INTERLEAVED, LAYOUT_PLANES, LAYOUT_PLANES_BY_COLUMN };
struct record_file {
    char *path;
    int fd;
    size_t start; /* bytes before the first record */
    size_t count; /* records */
};
struct records {
    struct record_file *files;
    int file_count;
    size_t header; /* bytes of a record before its pixels */
    int h, w, c;   /* c: 1, 3, or 4 (alpha, dropped) */
    enum record_layout layout;
};
size_t records_size(const struct records *records); /* bytes of one record */
/* Opens path and appends it; size receives its bytes. An empty file is an error. */
enum simclr_status records_add(struct records *records, const char *path, size_t *size, struct simclr_error *err);
/* The same, and the whole file must be records; kind names the format in the error. */
enum simclr_status records_add_whole(struct records *records, const char *path, const char *kind, struct simclr_error *err);
/* bytes [offset, offset + size) of a file. */
enum simclr_status records_pread(const struct record_file *file, void *data, size_t size, size_t offset, struct simclr_error *err);
enum simclr_status records_read(const struct records *records, size_t index, struct image *image, struct simclr_error *err);
void records_prefetch(const struct records *records, size_t index);
size_t records_count(const struct records *records);
void records_close(struct records *records);

#endif
