#include "train/run_folder.h"

#include "base/status.h"
#include "io/file.h"
#include "train/checkpoint.h"
#include "train/metrics_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

/* A process that is being killed gives its locks back after its memory, which can take a moment: wait that long. */
enum { TRIES = 200, TRY_NANOSECONDS = 10000000 };

static void lock_path(char path[PATH_SIZE], const char *folder)
{
    snprintf(path, PATH_SIZE, "%s/.lock", folder);
}

/* " by process 123 on HOST", as the holder wrote it, or "". */
static void read_holder(char text[128], int fd)
{
    char line[64];
    ssize_t n = pread(fd, line, sizeof line - 1, 0);
    line[n > 0 ? n : 0] = 0;
    line[strcspn(line, "\n")] = 0;
    snprintf(text, 128, "%s%s", line[0] ? " by process " : "", line);
}

/* For people; the lock holds without it, on a full disk too. */
static void write_holder(int fd)
{
    char host[48] = "", line[64];
    if (gethostname(host, sizeof host - 1))
        host[0] = 0;
    int n = snprintf(line, sizeof line, "%ld on %s\n", (long)getpid(), host[0] ? host : "this machine");
    if (ftruncate(fd, 0) < 0 || pwrite(fd, line, (size_t)n, 0) < n)
        return;
}

/* A holder removes its lock file before it lets go, so whoever waited for it holds a file that no other can find. */
static enum simclr_status lock(struct run_folder *folder, struct simclr_error *err)
{
    char path[PATH_SIZE], holder[128] = "";
    lock_path(path, folder->path);
    for (int i = 0; i < TRIES; i++) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0)
            return fail(err, SIMCLR_ERR_IO, "cannot write in the folder %s: %s; choose another with -o", folder->path, strerror(errno));
        int taken = flock(fd, LOCK_EX | LOCK_NB) < 0, reason = errno;
        if (!taken && file_is_at(fd, path)) {
            folder->lock = fd;
            write_holder(fd);
            return SIMCLR_OK;
        }
        read_holder(holder, fd);
        close(fd);
        if (taken && reason != EWOULDBLOCK && reason != EINTR) {
            unlink(path);
            return SIMCLR_OK; /* no locks here: folder->lock says so */
        }
        if (taken)
            nanosleep(&(struct timespec){.tv_nsec = TRY_NANOSECONDS}, NULL);
    }
    return fail(err, SIMCLR_ERR_USAGE, "%s is in use%s; wait for it to end, or choose another folder with -o", folder->path, holder);
}

static bool has_end(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* Best effort: they only take room. */
static void remove_unfinished(const char *folder)
{
    static const char *const others[] = {"config.json.tmp", "metrics.jsonl.tmp", METRICS_CSV ".tmp", METRICS_EVENTS ".tmp", "broken.txt.tmp"};
    DIR *dir = opendir(folder);
    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir));) {
        const char *name = e->d_name;
        bool ours = strncmp(name, "checkpoint-", 11) == 0 && has_end(name, ".safetensors.tmp");
        for (size_t i = 0; i < sizeof others / sizeof *others; i++)
            ours |= strcmp(name, others[i]) == 0;
        if (ours)
            unlinkat(dirfd(dir), name, 0);
    }
    closedir(dir);
}

/* What says that a run is there: a checkpoint, or settings. path: which; "" for none. */
static void find_run(char path[PATH_SIZE], const char *run)
{
    checkpoint_newest(path, PATH_SIZE, run);
    if (path[0])
        return;
    snprintf(path, PATH_SIZE, "%s/config.json", run);
    if (access(path, F_OK) != 0)
        path[0] = 0;
}

/* A run that begins writes over nothing. */
static enum simclr_status check_files(const char *run, bool resume, struct simclr_error *err)
{
    static const char *const names[] = {"metrics.jsonl", METRICS_CSV, METRICS_EVENTS, "broken.txt"};
    char path[PATH_SIZE];
    find_run(path, run);
    if (path[0] && resume)
        return SIMCLR_OK;
    if (path[0])
        return fail(err, SIMCLR_ERR_USAGE, "%s already holds a run (%s); go on with --resume or choose another folder with -o", run,
                    path + strlen(run) + 1);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", run, names[i]);
        if (access(path, F_OK) == 0)
            return fail(err, SIMCLR_ERR_USAGE, "%s is there already, and of no run that can be resumed; move it away or choose another "
                        "folder with -o", path);
    }
    return SIMCLR_OK;
}

enum simclr_status run_folder_open(struct run_folder *folder, const char *path, bool resume, struct simclr_error *err)
{
    struct stat st;
    *folder = (struct run_folder){.path = path, .lock = -1};
    enum simclr_status status = folder_create(path, err);
    if (status == SIMCLR_OK)
        status = lock(folder, err);
    if (status == SIMCLR_OK && stat(path, &st) < 0)
        status = fail(err, SIMCLR_ERR_IO, "cannot look at the folder %s: %s", path, strerror(errno));
    if (status == SIMCLR_OK)
        status = check_files(path, resume, err);
    if (status != SIMCLR_OK) {
        run_folder_close(folder);
        return status;
    }
    folder->device = st.st_dev;
    folder->inode = st.st_ino;
    remove_unfinished(path);
    return SIMCLR_OK;
}

enum simclr_status run_folder_check(const struct run_folder *folder, struct simclr_error *err)
{
    struct stat st;
    if (stat(folder->path, &st) == 0 && st.st_ino == folder->inode && st.st_dev == folder->device)
        return SIMCLR_OK;
    return fail(err, SIMCLR_ERR_IO, "the folder %s was removed, renamed or replaced while the run wrote into it; nothing more can be saved",
                folder->path);
}

void run_folder_close(struct run_folder *folder)
{
    char path[PATH_SIZE];
    if (folder->lock < 0)
        return;
    lock_path(path, folder->path);
    if (file_is_at(folder->lock, path))
        unlink(path);
    close(folder->lock);
    folder->lock = -1;
}
