/* A library to be preloaded (LD_PRELOAD) that makes one call of a run fail: INJECT=KIND:N the N-th of a kind, INJECT=KIND:N+ all from it on.
 * INJECT_COUNTS=FILE: at exit, how many calls of each kind there were, "KIND N" a line.
 *
 * Only calls made by the program itself and by jansson count, by their return address: what libgomp and libc allocate for themselves
 * ends the process without the program having a say. Where libc allocates for its caller (strdup, opendir) that call itself fails. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum kind { ALLOC, JSON, OPEN, READ, WRITE, SYNC, NAME, LOOK, KINDS }; /* JSON: the allocations of jansson */
static const char *const names[KINDS] = {"alloc", "json", "open", "read", "write", "sync", "name", "look"};
static const int reasons[KINDS] = {ENOMEM, ENOMEM, EMFILE, EIO, ENOSPC, EIO, EIO, EIO};

static struct {
    uintptr_t begin, end;
} code[2]; /* the program, jansson */
static uintptr_t base; /* of the program, as addr2line counts */
static enum kind wanted = KINDS;
static long first;
static bool forever;
static atomic_long calls[KINDS];

static int find_code(struct dl_phdr_info *info, size_t size, void *ctx)
{
    (void)size;
    int *object = ctx; /* the first one is the program */
    int which = (*object)++ == 0 ? 0 : strstr(info->dlpi_name, "libjansson") ? 1 : -1;
    if (which == 0)
        base = info->dlpi_addr;
    for (int i = 0; which >= 0 && i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type == PT_LOAD && p->p_flags & PF_X) {
            code[which].begin = info->dlpi_addr + p->p_vaddr;
            code[which].end = code[which].begin + p->p_memsz;
        }
    }
    return 0;
}

__attribute__((constructor)) static void begin(void)
{
    int object = 0;
    dl_iterate_phdr(find_code, &object);
    const char *given = getenv("INJECT"), *colon = given ? strchr(given, ':') : NULL;
    for (int k = 0; colon && k < KINDS; k++)
        if (strlen(names[k]) == (size_t)(colon - given) && memcmp(names[k], given, strlen(names[k])) == 0)
            wanted = (enum kind)k;
    if (colon) {
        first = atol(colon + 1);
        forever = strchr(colon, '+');
    }
}

__attribute__((destructor)) static void end(void)
{
    const char *path = getenv("INJECT_COUNTS");
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666) : -1;
    for (int k = 0; fd >= 0 && k < KINDS; k++)
        dprintf(fd, "%s %ld\n", names[k], atomic_load(&calls[k]));
}

/* Whether this call, from that address, is the one. */
static bool fails(enum kind kind, const void *caller)
{
    uintptr_t at = (uintptr_t)caller;
    bool program = at >= code[0].begin && at < code[0].end, json = at >= code[1].begin && at < code[1].end;
    if (json && kind == ALLOC)
        kind = JSON;
    if (!program && !json)
        return false;
    long n = 1 + atomic_fetch_add(&calls[kind], 1);
    if (kind != wanted || n < first || (n > first && !forever))
        return false;
    if (n == first)
        dprintf(2, "inject: %s %ld fails, called from %#lx\n", names[kind], n, (unsigned long)(at - base));
    errno = reasons[kind];
    return true;
}

#define CALLER __builtin_return_address(0)
/* The function of that name behind this library. */
#define NEXT(function) ((__typeof__(&function))next(#function))
static void *next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

/* ---- Memory, and threads ---- */

void *malloc(size_t size)
{
    static void *(*real)(size_t);
    real = real ? real : NEXT(malloc);
    return fails(ALLOC, CALLER) ? NULL : real(size);
}

void *calloc(size_t count, size_t size)
{
    static void *(*real)(size_t, size_t);
    real = real ? real : NEXT(calloc);
    return fails(ALLOC, CALLER) ? NULL : real(count, size);
}

void *realloc(void *p, size_t size)
{
    static void *(*real)(void *, size_t);
    real = real ? real : NEXT(realloc);
    return fails(ALLOC, CALLER) ? NULL : real(p, size);
}

void *aligned_alloc(size_t alignment, size_t size) { return fails(ALLOC, CALLER) ? NULL : NEXT(aligned_alloc)(alignment, size); }
char *strdup(const char *s) { return fails(ALLOC, CALLER) ? NULL : NEXT(strdup)(s); }
char *realpath(const char *path, char *into) { return fails(ALLOC, CALLER) ? NULL : NEXT(realpath)(path, into); }
FILE *open_memstream(char **text, size_t *size) { return fails(ALLOC, CALLER) ? NULL : NEXT(open_memstream)(text, size); }

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *ctx)
{
    return fails(ALLOC, CALLER) ? EAGAIN : NEXT(pthread_create)(thread, attr, run, ctx);
}

/* ---- Files ---- */

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return fails(OPEN, CALLER) ? -1 : NEXT(open)(path, flags, mode);
}

FILE *fopen(const char *path, const char *mode) { return fails(OPEN, CALLER) ? NULL : NEXT(fopen)(path, mode); }
DIR *opendir(const char *path) { return fails(OPEN, CALLER) ? NULL : NEXT(opendir)(path); }
int mkdir(const char *path, mode_t mode) { return fails(OPEN, CALLER) ? -1 : NEXT(mkdir)(path, mode); }

ssize_t read(int fd, void *data, size_t size) { return fails(READ, CALLER) ? -1 : NEXT(read)(fd, data, size); }
ssize_t pread(int fd, void *data, size_t size, off_t at) { return fails(READ, CALLER) ? -1 : NEXT(pread)(fd, data, size, at); }
struct dirent *readdir(DIR *dir) { return fails(READ, CALLER) ? NULL : NEXT(readdir)(dir); }

/* What _FORTIFY_SOURCE makes of them. */
ssize_t __read_chk(int fd, void *data, size_t size, size_t room);
ssize_t __pread_chk(int fd, void *data, size_t size, off_t at, size_t room);
ssize_t __read_chk(int fd, void *data, size_t size, size_t room) { return fails(READ, CALLER) ? -1 : NEXT(__read_chk)(fd, data, size, room); }
ssize_t __pread_chk(int fd, void *data, size_t size, off_t at, size_t room)
{
    return fails(READ, CALLER) ? -1 : NEXT(__pread_chk)(fd, data, size, at, room);
}

/* Half of it reaches the disk. */
ssize_t write(int fd, const void *data, size_t size)
{
    if (!fails(WRITE, CALLER))
        return NEXT(write)(fd, data, size);
    if (NEXT(write)(fd, data, size / 2) < 0)
        return -1;
    errno = reasons[WRITE];
    return -1;
}

int ftruncate(int fd, off_t size) { return fails(WRITE, CALLER) ? -1 : NEXT(ftruncate)(fd, size); }
off_t lseek(int fd, off_t at, int from) { return fails(WRITE, CALLER) ? -1 : NEXT(lseek)(fd, at, from); }

int fsync(int fd) { return fails(SYNC, CALLER) ? -1 : NEXT(fsync)(fd); }

/* As on a network's file system: the descriptor is gone all the same. */
int close(int fd)
{
    int done = NEXT(close)(fd);
    return fails(SYNC, CALLER) ? -1 : done;
}

int rename(const char *from, const char *to) { return fails(NAME, CALLER) ? -1 : NEXT(rename)(from, to); }
int unlink(const char *path) { return fails(NAME, CALLER) ? -1 : NEXT(unlink)(path); }
int unlinkat(int folder, const char *name, int flags) { return fails(NAME, CALLER) ? -1 : NEXT(unlinkat)(folder, name, flags); }
int flock(int fd, int how) { return fails(NAME, CALLER) ? -1 : NEXT(flock)(fd, how); }

int stat(const char *path, struct stat *st) { return fails(LOOK, CALLER) ? -1 : NEXT(stat)(path, st); }
int lstat(const char *path, struct stat *st) { return fails(LOOK, CALLER) ? -1 : NEXT(lstat)(path, st); }
int fstat(int fd, struct stat *st) { return fails(LOOK, CALLER) ? -1 : NEXT(fstat)(fd, st); }
int access(const char *path, int mode) { return fails(LOOK, CALLER) ? -1 : NEXT(access)(path, mode); }
