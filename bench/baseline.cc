#include "bench/baseline.h"

#include "bench/timing.h"

#include <algorithm>
#include <jansson.h>
#include <stdexcept>

static std::string text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

Baseline read_baseline(const std::string &path)
{
    json_error_t error;
    std::unique_ptr<json_t, void (*)(json_t *)> root(json_load_file(path.c_str(), 0, &error), json_decref);
    if (!root)
        throw std::invalid_argument(format("--baseline %s: %s", path.c_str(), error.text));
    const json_t *rows = json_object_get(root.get(), "benchmarks"), *context = json_object_get(root.get(), "context");
    if (!json_is_array(rows))
        throw std::invalid_argument("--baseline " + path + ": has no list of benchmarks; make it with --benchmark_out=FILE");
    std::map<std::string, std::vector<double>> found;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        double percent = json_number_value(json_object_get(row, "pct_peak"));
        std::string name = text_of(row, "run_name"), aggregate = text_of(row, "aggregate_name");
        if (percent > 0 && (aggregate.empty() || aggregate == "median"))
            found[name.empty() ? text_of(row, "name") : name].push_back(percent);
    }
    Baseline baseline{path, text_of(context, "cpu"), text_of(context, "threads"), {}};
    for (auto &[name, percents] : found) {
        std::sort(percents.begin(), percents.end());
        baseline.percents[name] = quantile(percents, 0.5);
    }
    return baseline;
}
