#include "io/file.h"

#include "base/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static enum simclr_status write_failed(const char *path, struct simclr_error *err)
{
    const char *remedy = errno == ENOSPC || errno == EDQUOT ? "; free some space"
                       : errno == EFBIG ? "; raise the limit on the size of files (ulimit -f)" : "";
    return fail(err, SIMCLR_ERR_IO, "cannot write %s: %s%s", path, strerror(errno), remedy);
}

static char *join(const char *a, const char *b)
{
    size_t size = strlen(a) + strlen(b) + 1;
    char *text = malloc(size);
    if (text)
        snprintf(text, size, "%s%s", a, b);
    return text;
}

static void writer_clear(struct file_writer *writer)
{
    free(writer->path);
    free(writer->temporary);
    *writer = (struct file_writer){.fd = -1};
}

bool file_is_at(int fd, const char *path)
{
    struct stat held, named;
    return fstat(fd, &held) == 0 && stat(path, &named) == 0 && held.st_ino == named.st_ino && held.st_dev == named.st_dev;
}

/* Alone with the temporary file, which its last owner may just have renamed. A file system without locks is taken at its word. */
static bool take(const struct file_writer *writer)
{
    if (flock(writer->fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
        return false;
    return file_is_at(writer->fd, writer->temporary);
}

enum simclr_status file_begin(struct file_writer *writer, const char *path, struct simclr_error *err)
{
    *writer = (struct file_writer){.path = join(path, ""), .temporary = join(path, ".tmp"), .fd = -1};
    if (!writer->path || !writer->temporary) {
        writer_clear(writer);
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to write %s", path);
    }
    writer->fd = open(writer->temporary, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    enum simclr_status status = SIMCLR_OK;
    if (writer->fd >= 0 && !take(writer))
        status = fail(err, SIMCLR_ERR_IO, "cannot write %s: another process is writing it", path);
    else if (writer->fd < 0 || ftruncate(writer->fd, 0) < 0)
        status = write_failed(writer->temporary, err);
    if (status == SIMCLR_OK)
        return status;
    if (writer->fd >= 0)
        close(writer->fd);
    writer_clear(writer);
    return status;
}

static enum simclr_status put(int fd, const char *path, const void *data, size_t size, struct simclr_error *err)
{
    const char *at = data;
    while (size > 0) {
        ssize_t done = write(fd, at, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return write_failed(path, err);
        at += done;
        size -= (size_t)done;
    }
    return SIMCLR_OK;
}

enum simclr_status file_put(struct file_writer *writer, const void *data, size_t size, struct simclr_error *err)
{
    return put(writer->fd, writer->temporary, data, size, err);
}

enum simclr_status file_put_at(struct file_writer *writer, size_t offset, const void *data, size_t size, struct simclr_error *err)
{
    if (lseek(writer->fd, (off_t)offset, SEEK_SET) < 0)
        return write_failed(writer->temporary, err);
    enum simclr_status status = file_put(writer, data, size, err);
    if (status == SIMCLR_OK && lseek(writer->fd, 0, SEEK_END) < 0)
        status = write_failed(writer->temporary, err);
    return status;
}

/* Some file systems, and folders that may not be read, cannot be synced; there the file is whole all the same. */
int file_sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = join(path, "");
    if (!folder)
        return -1;
    folder[slash ? (size_t)(slash - path) + (slash == path) : 0] = 0;
    int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    if (fd < 0)
        return 0;
    int bad = fsync(fd) < 0 && errno != EINVAL && errno != EROFS && errno != ENOTSUP, reason = errno;
    close(fd);
    errno = reason;
    return bad ? -1 : 0;
}

/* Renamed before it is closed: with the file goes its lock, and the next writer would begin with what is still called path.tmp. */
enum simclr_status file_commit(struct file_writer *writer, struct simclr_error *err)
{
    bool unsynced = fsync(writer->fd) < 0 && errno != EINVAL; /* EINVAL: a pipe or the like */
    if (unsynced || rename(writer->temporary, writer->path) < 0) {
        enum simclr_status status = write_failed(writer->path, err);
        file_abandon(writer);
        return status;
    }
    enum simclr_status status = file_sync_folder(writer->path) < 0 ? write_failed(writer->path, err) : SIMCLR_OK;
    if (close(writer->fd) < 0 && status == SIMCLR_OK)
        status = write_failed(writer->path, err);
    writer_clear(writer);
    return status;
}

void file_abandon(struct file_writer *writer)
{
    if (writer->temporary)
        unlink(writer->temporary);
    if (writer->fd >= 0)
        close(writer->fd);
    writer_clear(writer);
}

struct file_writer file_to(int fd, const char *name)
{
    return (struct file_writer){.path = (char *)name, .temporary = (char *)name, .fd = fd};
}

enum simclr_status file_write_atomic(const char *path, const void *data, size_t size, struct simclr_error *err)
{
    struct file_writer writer;
    enum simclr_status status = file_begin(&writer, path, err);
    if (status != SIMCLR_OK)
        return status;
    status = file_put(&writer, data, size, err);
    if (status == SIMCLR_OK)
        return file_commit(&writer, err);
    file_abandon(&writer);
    return status;
}

enum simclr_status file_append(const char *path, const void *data, size_t size, struct simclr_error *err)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return write_failed(path, err);
    enum simclr_status status = put(fd, path, data, size, err);
    if (status == SIMCLR_OK && fsync(fd) < 0 && errno != EINVAL)
        status = write_failed(path, err);
    if (close(fd) < 0 && status == SIMCLR_OK)
        status = write_failed(path, err);
    return status;
}

/* Short of descriptors or memory, this machine cannot read any file: that says nothing of this one. */
static enum simclr_status read_failed(const char *path, struct simclr_error *err)
{
    bool machine = errno == EMFILE || errno == ENFILE || errno == ENOMEM;
    return fail(err, machine ? SIMCLR_ERR_MEMORY : SIMCLR_ERR_IO, "cannot read %s: %s", path, strerror(errno));
}

enum simclr_status file_open(struct file_reader *reader, const char *path, struct simclr_error *err)
{
    struct stat st;
    *reader = (struct file_reader){.path = path, .fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)}; /* a FIFO is not waited for */
    if (reader->fd < 0)
        return read_failed(path, err);
    enum simclr_status status = SIMCLR_OK;
    if (fstat(reader->fd, &st) < 0)
        status = read_failed(path, err);
    else if (!S_ISREG(st.st_mode))
        status = fail(err, SIMCLR_ERR_IO, "cannot read %s: it is not a file", path);
    if (status == SIMCLR_OK)
        reader->size = (size_t)st.st_size;
    else
        file_close(reader);
    return status;
}

enum simclr_status file_get_at(const struct file_reader *reader, size_t offset, void *data, size_t size, struct simclr_error *err)
{
    for (size_t got = 0; got < size;) {
        ssize_t n = pread(reader->fd, (char *)data + got, size - got, (off_t)(offset + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return read_failed(reader->path, err);
        if (n == 0)
            return fail(err, SIMCLR_ERR_IO, "%s shrank while it was read", reader->path);
        got += (size_t)n;
    }
    return SIMCLR_OK;
}

enum simclr_status file_get(struct file_reader *reader, void *data, size_t size, struct simclr_error *err)
{
    enum simclr_status status = file_get_at(reader, reader->at, data, size, err);
    reader->at += size;
    return status;
}

enum simclr_status file_must_be_new(const char *path, const char *option, struct simclr_error *err)
{
    if (access(path, F_OK) == 0)
        return fail(err, SIMCLR_ERR_USAGE, "%.300s is there already; remove it or choose another name with %s", path, option);
    return SIMCLR_OK;
}

void file_close(struct file_reader *reader)
{
    close(reader->fd);
    reader->fd = -1;
}

enum simclr_status file_read(void **data, size_t *size, const char *path, size_t most, struct simclr_error *err)
{
    struct file_reader reader;
    *data = NULL;
    *size = 0;
    enum simclr_status status = file_open(&reader, path, err);
    if (status != SIMCLR_OK)
        return status;
    char *bytes = NULL;
    if (reader.size > most)
        status = fail(err, SIMCLR_ERR_FORMAT, "%s is too large: %zu bytes, at most %zu are expected", path, reader.size, most);
    else if (!(bytes = malloc(reader.size + 1)))
        status = fail(err, SIMCLR_ERR_MEMORY, "not enough memory to read %s (%zu MB)", path, reader.size >> 20);
    if (status == SIMCLR_OK)
        status = file_get(&reader, bytes, reader.size, err);
    file_close(&reader);
    if (status != SIMCLR_OK) {
        free(bytes);
        return status;
    }
    bytes[reader.size] = 0;
    *data = bytes;
    *size = reader.size;
    return SIMCLR_OK;
}

static int is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

enum simclr_status folder_create(const char *path, struct simclr_error *err)
{
    char *copy = join(path, "");
    if (!copy)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to create %s", path);
    enum simclr_status status = SIMCLR_OK;
    for (char *at = copy; *at && status == SIMCLR_OK; at++) {
        char *slash = strchr(at + 1, '/');
        at = slash ? slash : at + strlen(at);
        *at = 0;
        int reason = mkdir(copy, 0777) < 0 ? errno : 0;
        if (reason && !is_folder(copy))
            status = fail(err, SIMCLR_ERR_IO, "cannot create the folder %s: %s", copy, strerror(reason == EEXIST ? ENOTDIR : reason));
        if (!slash)
            break;
        *at = '/';
    }
    free(copy);
    return status;
}
