/* The table of a comparison: text, Markdown, JSON. */
#include "bench/compare.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <jansson.h>
#include <stdexcept>

namespace {

const char not_timed[] = "this CPU is emulated, where times mean nothing: only results are compared";

/* Whether what limits the best path is arithmetic: then FLOPs are what counts, else bytes. */
bool by_flops(const ComparedRow &row) { return !row.paths.empty() && row.paths.back().limit == "compute"; }

double rate(const ComparedRow &row, const PathTime &path)
{
    return (by_flops(row) ? path.work.flops() : path.work.bytes()) / path.seconds * 1e-9;
}

double times_scalar(const ComparedRow &row, const PathTime &path) { return row.paths[0].seconds / path.seconds; }

const char *unit(const ComparedRow &row) { return by_flops(row) ? "GFLOP/s" : "GB/s"; }

std::string verdict(const Comparison &c)
{
    size_t failures = c.all_failures().size();
    std::string isas;
    for (const std::string &isa : c.isas)
        isas += (isas.empty() ? "" : ", ") + isa;
    if (failures)
        return format("%zu failures in %zu rows on %s", failures, c.rows.size(), isas.c_str());
    std::string text = format("%zu rows on %s: all results are equal, bit by bit", c.rows.size(), isas.c_str());
    return c.timed ? text + format("; no path is slower than a lesser one (tolerance %.0f %%, where memory is the limit %.0f %%)",
                                   100 * c.tolerance, 100 * c.tolerance * MEMORY_FACTOR) : text;
}

struct File {
    FILE *file;
    std::string path;
    explicit File(const std::string &name) : file(fopen(name.c_str(), "w")), path(name)
    {
        if (!file)
            fail();
    }
    void close()
    {
        FILE *closing = file;
        file = nullptr;
        if (ferror(closing) | fclose(closing))
            fail();
    }
    ~File()
    {
        if (file)
            fclose(file);
    }
    void fail() const { throw std::runtime_error(path + " cannot be written: " + strerror(errno)); }
};

} // namespace

void print_header(const Comparison &c)
{
    printf("%-26s%-28s%-8s", "kernel", "shape", "");
    if (!c.timed)
        printf("\n(%s)", not_timed);
    for (size_t i = 0; i < c.isas.size() && c.timed; i++)
        printf(i ? "%9s x_scalar  peak" : "%9s  peak", c.isas[i].c_str());
    printf("\n");
    fflush(stdout);
}

void print_row(const Comparison &c, const ComparedRow &row)
{
    printf("%-25s %-27s ", row.kernel.c_str(), row.shape.c_str());
    if (!c.timed) {
        printf(row.failures.empty() ? "equal" : "");
    } else {
        printf("%-8s", unit(row));
        for (const PathTime &path : row.paths) {
            printf("%9.4g", rate(row, path));
            if (&path != &row.paths[0])
                printf("%9.1f", times_scalar(row, path));
            printf("%4.0f %%", path.percent);
        }
    }
    printf(row.failures.empty() ? "\n" : "  FAILED\n");
    fflush(stdout);
}

void print_verdict(const Comparison &c)
{
    for (const std::string &failure : c.all_failures())
        printf("FAILED: %s\n", failure.c_str());
    printf("%s\n", verdict(c).c_str());
    if (!c.timed)
        printf("Note: %s.\n", not_timed);
}

void write_markdown(const Comparison &c, const std::string &path)
{
    File out(path);
    fprintf(out.file, "### Kernels by instruction set, %d threads\n\n%s%s.\n\n", c.threads, c.all_failures().empty() ? "" : "**FAILED**: ",
            verdict(c).c_str());
    if (!c.timed)
        fprintf(out.file, "Note: %s.\n\n", not_timed);
    for (const std::string &failure : c.all_failures())
        fprintf(out.file, "- %s\n", failure.c_str());
    fprintf(out.file, "\n| kernel | shape | unit |");
    for (size_t i = 0; i < c.isas.size(); i++)
        fprintf(out.file, " %s |%s", c.isas[i].c_str(), !c.timed ? "" : i ? " x scalar | % of peak |" : " % of peak |");
    fprintf(out.file, "\n|---|---|---|");
    for (size_t i = 0; i < c.isas.size(); i++)
        fprintf(out.file, !c.timed ? "---|" : i ? "--:|--:|--:|" : "--:|--:|");
    for (const ComparedRow &row : c.rows) {
        fprintf(out.file, "\n| %s%s | %s | %s |", row.kernel.c_str(), row.failures.empty() ? "" : " **FAILED**", row.shape.c_str(),
                c.timed ? unit(row) : "");
        for (const PathTime &time : row.paths) {
            fprintf(out.file, " %.4g |", rate(row, time));
            if (&time != &row.paths[0])
                fprintf(out.file, " %.1f |", times_scalar(row, time));
            fprintf(out.file, " %.0f |", time.percent);
        }
        for (size_t i = 0; i < c.isas.size() && !c.timed; i++)
            fprintf(out.file, " %s |", row.failures.empty() ? "equal" : "");
    }
    fprintf(out.file, "\n");
    out.close();
}

static json_t *json_of(const std::vector<std::string> &texts)
{
    json_t *list = json_array();
    for (const std::string &text : texts)
        json_array_append_new(list, json_string(text.c_str()));
    return list;
}

void write_json(const Comparison &c, const std::string &path)
{
    json_t *rows = json_array();
    for (const ComparedRow &row : c.rows) {
        json_t *paths = json_object();
        for (size_t i = 0; i < row.paths.size(); i++) {
            const PathTime &t = row.paths[i];
            json_object_set_new(paths, c.isas[i].c_str(), json_pack("{s:f, s:f, s:f, s:f, s:f, s:s}", "seconds", t.seconds,
                "GFLOP/s", t.work.flops() / t.seconds * 1e-9, "GB/s", t.work.bytes() / t.seconds * 1e-9, "pct_peak", t.percent,
                "x_scalar", times_scalar(row, t), "limit", t.limit.c_str()));
        }
        json_array_append_new(rows, json_pack("{s:s, s:s, s:o, s:o}", "kernel", row.kernel.c_str(), "shape", row.shape.c_str(),
                                              "paths", paths, "failures", json_of(row.failures)));
    }
    json_t *all = json_pack("{s:o, s:i, s:f, s:b, s:o, s:o}", "isas", json_of(c.isas), "threads", c.threads, "tolerance", c.tolerance,
                            "timed", c.timed, "failures", json_of(c.all_failures()), "rows", rows);
    File out(path);
    int failed = json_dumpf(all, out.file, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    json_decref(all);
    if (failed)
        out.fail();
    out.close();
}
