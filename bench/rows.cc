#include "bench/bench.h"

#include <set>
#include <stdexcept>

std::string without_batch(const std::string &shape)
{
    size_t dot = shape.rfind(".b");
    bool batch = dot != std::string::npos && dot + 2 < shape.size() && shape.find_first_not_of("0123456789", dot + 2) == std::string::npos;
    return batch ? shape.substr(0, dot) : shape;
}

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
