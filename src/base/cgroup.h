/* The control groups around this process, versions 1 and 2: what a container, a service or a job of a cluster may use. */
#ifndef BASE_CGROUP_H
#define BASE_CGROUP_H

#include <stdint.h>

/* What the group of one folder allows; UINT64_MAX: no limit, or unknown. */
typedef uint64_t cgroup_figure(const char *folder);

/* The least that any of the groups around this process allows, from the files below root ("": the system's own). controller is
 * version 1's name, below which its groups are; version 2 has all in one place. */
uint64_t cgroup_least(const char *root, const char *controller, cgroup_figure *version1, cgroup_figure *version2);

/* The number after key at the start of a line of folder/file; key "": the file's first. UINT64_MAX: there is none, or it is "max". */
uint64_t cgroup_number(const char *folder, const char *file, const char *key);

#endif
