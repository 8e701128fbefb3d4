#include "bench/bench.h"

#include <set>
#include <stdexcept>

Rows all_rows(const Scale &scale)
{
    Rows rows;
    add_layer_rows(rows, scale);
    add_step_rows(rows, scale);
    add_kernel_rows(rows, scale);
    std::set<std::string> names;
    for (const Row &row : rows)
        if (!names.insert(row.kernel + "/" + row.shape).second)
            throw std::logic_error("two rows are named " + row.kernel + "/" + row.shape);
    return rows;
}
