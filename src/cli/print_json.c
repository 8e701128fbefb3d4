#include "cli/print_json.h"

#include "base/status.h"

#include <stdbool.h>
#include <stdio.h>

enum simclr_status print_json(json_t *root, struct simclr_error *err)
{
    if (!root)
        return fail(err, SIMCLR_ERR_MEMORY, "not enough memory to print the result as JSON");
    bool printed = json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) == 0 && printf("\n") > 0 && fflush(stdout) == 0;
    json_decref(root);
    return printed ? SIMCLR_OK : fail(err, SIMCLR_ERR_IO, "the result could not be printed as JSON");
}
