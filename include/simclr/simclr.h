/* simclr.c: self-supervised training of image encoders on CPUs.
 *
 * This header holds what every part of the program shares with its callers: status codes, the error record, the version. */
#ifndef SIMCLR_SIMCLR_H
#define SIMCLR_SIMCLR_H

#ifdef __cplusplus
extern "C" {
#endif

#define SIMCLR_VERSION "0.1.0"

/* What a fallible function returns. The sentence for people is in struct simclr_error. */
enum simclr_status {
    SIMCLR_OK = 0,
    SIMCLR_ERR_USAGE,     /* a wrong option, value or combination: the caller's to mend (exit code 2) */
    SIMCLR_ERR_IO,        /* a file or folder could not be read or written */
    SIMCLR_ERR_FORMAT,    /* a file is not what it claims to be */
    SIMCLR_ERR_MEMORY,    /* not enough memory */
    SIMCLR_ERR_UNSUPPORTED, /* this machine or build cannot do it */
    SIMCLR_ERR_CANCELLED, /* the caller's callback asked to stop */
    SIMCLR_ERR_NONFINITE, /* a loss or gradient that is not a finite number */
};

/* One sentence that names the thing (file, option, value) and the remedy; no final newline. */
struct simclr_error {
    char text[512];
};

#ifdef __cplusplus
}
#endif
#endif
