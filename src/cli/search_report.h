/* What simclr search shows of neighbours and groups: for people, as JSON, and as a contact sheet. */
#ifndef CLI_SEARCH_REPORT_H
#define CLI_SEARCH_REPORT_H

#include "eval/bank.h"
#include "eval/neighbours.h"

/* The images that were compared with. */
struct search_images {
    const char *data; /* as it was named */
    const struct image_part *parts;
    int count;
    const struct bank *bank;
    const struct engine *engine;
};

struct search_neighbours {
    struct image_part queries; /* of loader_size(queries.loader) */
    const int *labels;         /* of them: LABEL_BROKEN for those that could not be read */
    const struct neighbour *ranked; /* (queries, k) */
    const int *found;          /* (queries) of them */
    int k;
};

/* Members of a group in order; the first one's cosine is 1, that of others is to the first. */
struct search_groups {
    const struct neighbour *members; /* group after group */
    const size_t *first;             /* (count + 1): where each begins, and the end */
    size_t count;
    double threshold;
};

void print_neighbours(const struct search_images *images, const struct search_neighbours *found);
void print_groups(const struct search_images *images, const struct search_groups *groups);

enum simclr_status print_neighbours_json(const struct search_images *images, const struct search_neighbours *found, struct simclr_error *err);
enum simclr_status print_groups_json(const struct search_images *images, const struct search_groups *groups, struct simclr_error *err);

enum simclr_status write_neighbours_sheet(const char *path, const struct search_images *images, const struct search_neighbours *found,
                                          struct simclr_error *err);
enum simclr_status write_groups_sheet(const char *path, const struct search_images *images, const struct search_groups *groups,
                                      struct simclr_error *err);

#endif
