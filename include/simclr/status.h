/* What every function of the library returns and fills when it fails; the version. */
#ifndef SIMCLR_STATUS_H
#define SIMCLR_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#define SIMCLR_VERSION "0.1.0"

#if defined __GNUC__
#define SIMCLR_API __attribute__((visibility("default")))
#else
#define SIMCLR_API
#endif

/* What a fallible function returns. The sentence for people is in struct simclr_error. Values are never changed, only added to. */
enum simclr_status {
    SIMCLR_OK = 0,
    SIMCLR_ERR_USAGE,     /* a wrong argument, value or combination: the caller's to mend (the program's exit code 2) */
    SIMCLR_ERR_IO,        /* a file or folder could not be read or written */
    SIMCLR_ERR_FORMAT,    /* a file is not what it claims to be */
    SIMCLR_ERR_MEMORY,    /* not enough memory */
    SIMCLR_ERR_UNSUPPORTED, /* this machine or build cannot do it */
    SIMCLR_ERR_CANCELLED, /* the caller's callback asked to stop */
    SIMCLR_ERR_NONFINITE, /* a loss or gradient that is not a finite number */
};

/* One sentence that names the thing (file, setting, value) and the remedy; no final newline. Written when a function fails, and only
 * then; every function takes NULL for it. Settings are called as the program's command line calls them: "--batch-size".
 *
 * This is a text of fixed size and will stay one, which is why its layout may be public: it lies on the caller's stack, so an error
 * needs no memory, no thread's own state, and nobody to free it. */
struct simclr_error {
    char text[512];
};

/* SIMCLR_VERSION of the library that is linked, which may be newer than the header. */
SIMCLR_API const char *simclr_version(void);

#ifdef __cplusplus
}
#endif
#endif
