/* Whole files and folders. Errors name the path and the system's reason. */
#ifndef IO_FILE_H
#define IO_FILE_H

#include "simclr/status.h"

#include <stdbool.h>
#include <stddef.h>

/* A file being written beside its place: path.tmp until file_commit. */
struct file_writer {
    char *path, *temporary;
    int fd;
};

/* Opens path.tmp, unless another process is writing it; the writer must be ended by file_commit or file_abandon. */
enum simclr_status file_begin(struct file_writer *writer, const char *path, struct simclr_error *err);
enum simclr_status file_put(struct file_writer *writer, const void *data, size_t size, struct simclr_error *err);
/* Over what was put before, from byte `offset` on. */
enum simclr_status file_put_at(struct file_writer *writer, size_t offset, const void *data, size_t size, struct simclr_error *err);
/* fsync, rename into place, fsync of the folder: after it the file outlives a power cut. On failure path.tmp is removed, and the
 * old file stands unless only the last fsync failed. */
enum simclr_status file_commit(struct file_writer *writer, struct simclr_error *err);

/* fsync of the folder that path is in: a rename outlives a power cut only once that is on disk. -1 and errno: it may not. */
int file_sync_folder(const char *path);
void file_abandon(struct file_writer *writer);

/* For file_put alone: to an open file, which stays the caller's and is called `name` in errors. */
struct file_writer file_to(int fd, const char *name);

/* The three above for one block. */
enum simclr_status file_write_atomic(const char *path, const void *data, size_t size, struct simclr_error *err);

/* Adds data at the end of path, made if it is not there, and fsyncs it. After an error, or a crash, a part may stand there. */
enum simclr_status file_append(const char *path, const void *data, size_t size, struct simclr_error *err);

/* A regular file open for reading from its start; path stays the caller's. */
struct file_reader {
    const char *path;
    int fd;
    size_t size, at; /* at: where file_get goes on */
};
enum simclr_status file_open(struct file_reader *reader, const char *path, struct simclr_error *err);
/* The next `size` bytes; it is an error if there are fewer. */
enum simclr_status file_get(struct file_reader *reader, void *data, size_t size, struct simclr_error *err);
/* Those from byte `offset` on; what follows is next. */
enum simclr_status file_get_at(const struct file_reader *reader, size_t offset, void *data, size_t size, struct simclr_error *err);
void file_close(struct file_reader *reader);

/* SIMCLR_ERR_USAGE when there is something at path, which is written only where nothing is; option is what names it: "-o". */
enum simclr_status file_must_be_new(const char *path, const char *option, struct simclr_error *err);

/* Reads a whole file of at most `most` bytes; *data is freed with free() and has a zero byte after its end. */
enum simclr_status file_read(void **data, size_t *size, const char *path, size_t most, struct simclr_error *err);

/* The open file is what path names now; false where it was removed or replaced. */
bool file_is_at(int fd, const char *path);

/* Creates the folder and its parents; an existing folder is fine. */
enum simclr_status folder_create(const char *path, struct simclr_error *err);

#endif
