/* Results for programs. */
#ifndef CLI_PRINT_JSON_H
#define CLI_PRINT_JSON_H

#include "simclr/status.h"

#include <jansson.h>

/* Prints root and frees it. NULL: there was no memory for it. */
enum simclr_status print_json(json_t *root, struct simclr_error *err);

#endif
