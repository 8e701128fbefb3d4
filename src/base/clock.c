#include "base/clock.h"

#include <stdint.h>
#include <time.h>

double clock_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double clock_unix(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    int64_t milliseconds = t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
    return (double)milliseconds / 1000;
}
