#define _XOPEN_SOURCE 700
#include "tests/fuzz/files.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *fuzz_folder(void)
{
    static char folder[256];
    const char *above = getenv("TMPDIR");
    if (!folder[0]) {
        snprintf(folder, sizeof folder, "%s/fuzz-XXXXXX", above ? above : "/tmp");
        fuzz_expect(mkdtemp(folder) != NULL, "a folder for files");
    }
    return folder;
}

const char *fuzz_file(const char *name, const void *data, size_t size)
{
    static char paths[8][512];
    static int turn;
    char *path = paths[turn++ % 8];
    int n = snprintf(path, sizeof paths[0], "%s/%s", fuzz_folder(), name);
    for (char *slash = strchr(path + n - strlen(name), '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0777);
        *slash = '/';
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    fuzz_expect(fd >= 0 && write(fd, data, size) == (ssize_t)size && close(fd) == 0, "a file to be written");
    return path;
}

void fuzz_expect(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "expected: %s\n", what);
    abort();
}
