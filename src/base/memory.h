/* How much memory this process may still take. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stddef.h>

/* Bytes: the least of what the system has free (caches of files count as free), what each cgroup around this process leaves, and
 * what its address space may grow by. 0 where none of this is known, 1 where nothing is left. */
size_t memory_available(void);

/* The first two, from the files below root ("": the system's own). */
size_t memory_available_below(const char *root);

/* Bytes of this process that lie in memory now, its program and libraries included; 0 where that is not known. */
size_t memory_resident(void);

#endif
