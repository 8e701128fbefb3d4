#include "bench/html_parts.h"

#include <algorithm>
#include <cmath>
#include <set>

double Result::get(const char *counter) const
{
    auto found = counters.find(counter);
    return found == counters.end() ? 0 : found->second;
}

const Peaks *peaks_of(const Report &report, const std::string &path)
{
    for (const auto &[isa, peaks] : report.peaks)
        if (isa == path && peaks.threads == report.threads)
            return &peaks;
    return nullptr;
}

std::string escape(const std::string &text)
{
    std::string out;
    for (char c : text) {
        switch (c) {
        case '&': out += "&amp;"; break;
        case '<': out += "&lt;"; break;
        case '>': out += "&gt;"; break;
        case '"': out += "&quot;"; break;
        default: out += static_cast<unsigned char>(c) < ' ' && c != '\n' ? ' ' : c;
        }
    }
    return out;
}

std::string number(double value)
{
    if (value == 0)
        return "0";
    int digits = static_cast<int>(std::floor(std::log10(std::fabs(value) * 1.0005)));
    return format("%.*f", std::min(std::max(2 - digits, 0), 6), value);
}

/* ---- Kinds ---- */

enum { PRODUCTS, DIRECT, WINOGRAD, NORMS, UPDATES, IMAGES, STEPS, OTHER };

const std::vector<Kind> kinds = {
    {"GEMM, linear layers", "<circle r='4.2'/>"},
    {"convolutions, direct", "<rect x='-3.8' y='-3.8' width='7.6' height='7.6'/>"},
    {"convolutions, Winograd", "<path class='hollow' d='M0-5.2 5.2 0 0 5.2-5.2 0Z'/>"},
    {"norms, pools", "<path d='M0-5 4.8 3.6H-4.8Z'/>"},
    {"loss, optimisers", "<path d='M0 5 4.8-3.6H-4.8Z'/>"},
    {"images", "<path class='hollow' d='M-4.2 0H4.2M0-4.2V4.2'/>"},
    {"training steps", "<path d='M0-7 1.9-2.2 7-1.9 3 1.3 4.3 6.2 0 3.4-4.3 6.2-3 1.3-7-1.9-1.9-2.2Z'/>"},
    {"other", "<circle class='hollow' r='4.2'/>"},
};

/* By the beginning of the kernel's name. */
size_t kind_of(const Result &row)
{
    static const std::vector<std::pair<const char *, size_t>> prefixes = {
        {"gemm", PRODUCTS}, {"linear", PRODUCTS}, {"brgemm", PRODUCTS}, {"pack_", PRODUCTS}, {"dot", PRODUCTS},
        {"conv", DIRECT}, {"stem", DIRECT}, {"winograd_", WINOGRAD},
        {"norm", NORMS}, {"bias_act", NORMS}, {"relu", NORMS}, {"add", NORMS}, {"column_sums", NORMS}, {"maxpool", NORMS},
        {"avgpool", NORMS},
        {"ntxent", UPDATES}, {"l2_normalize", UPDATES}, {"optim.", UPDATES}, {"sgd", UPDATES}, {"lars", UPDATES}, {"adam", UPDATES},
        {"sum_squares", UPDATES},
        {"two_views", IMAGES}, {"u8_to_f32", IMAGES}, {"resize", IMAGES}, {"transpose", IMAGES}, {"brightness", IMAGES},
        {"grey_mean", IMAGES}, {"contrast", IMAGES}, {"saturation", IMAGES}, {"hue", IMAGES}, {"solarize", IMAGES}, {"blur", IMAGES},
        {"step", STEPS},
    };
    for (const auto &[prefix, kind] : prefixes)
        if (row.kernel.compare(0, std::string(prefix).size(), prefix) == 0)
            return kind == DIRECT && row.get("effective_GFLOP/s") > 0 ? static_cast<size_t>(WINOGRAD) : kind;
    return OTHER;
}

namespace {

/* ---- The run ---- */

std::string value_of(const Report &report, const char *key)
{
    for (const auto &[k, value] : report.context)
        if (k == key)
            return value;
    return "";
}

std::string heading(const Report &report)
{
    std::set<std::string> paths;
    for (const Result &row : report.rows)
        paths.insert(row.path);
    std::string out = "<header>\n<h1>bench <span>" + escape(value_of(report, "cpu")) + "</span></h1>\n";
    out += format("<p>%zu rows, %zu path%s, %d thread%s. Everything on this page was measured in the same run, the limits too.</p>\n",
                  report.rows.size(), paths.size(), paths.size() == 1 ? "" : "s", report.threads, report.threads == 1 ? "" : "s");
    if (!report.warnings.empty()) {
        out += "<ul class=\"warnings\">\n";
        for (const std::string &warning : report.warnings)
            out += "<li>" + escape(warning) + "</li>\n";
        out += "</ul>\n";
    }
    out += "<dl>\n";
    for (auto [key, value] : report.context) {
        std::replace(key.begin(), key.end(), '_', ' ');
        if (key != "warning") /* told above */
            out += "<div><dt>" + escape(key) + "</dt><dd>" + escape(value) + "</dd></div>\n";
    }
    return out + "</dl>\n";
}

std::string limits(const Report &report)
{
    static const char *const traffics[PROBE_TRAFFICS] = {"read", "triad", "copy", "fill", "update", "scale"};
    std::string out = "<details><summary>Measured limits</summary>\n<div class=\"wide\"><table class=\"limits\">\n"
                      "<thead><tr><th scope=\"col\">GB/s</th>";
    for (const char *traffic : traffics)
        out += format("<th scope=\"col\">%s</th>", traffic);
    out += "</tr></thead>\n";
    for (const auto &[isa, peaks] : report.peaks) {
        out += format("<tbody><tr><th scope=\"rowgroup\" colspan=\"%d\">%s, %d thread%s: FMA %s GFLOP/s, any mix %s GFLOP/s</th></tr>\n",
                      PROBE_TRAFFICS + 1, escape(isa).c_str(), peaks.threads, peaks.threads == 1 ? "" : "s",
                      number(peaks.fma * 1e-9).c_str(), number(peaks.flops * 1e-9).c_str());
        for (const LevelPeak &level : peaks.levels) {
            out += "<tr><th scope=\"row\">" + escape(level.name) + "</th>";
            for (double bandwidth : level.bandwidth)
                out += "<td>" + number(bandwidth * 1e-9) + "</td>";
            out += "</tr>\n";
        }
        out += "</tbody>\n";
    }
    return out + "</table></div></details>\n</header>\n";
}

/* ---- The table ---- */

/* Counters without a column of their own. */
std::string others(const Result &row)
{
    static const std::set<std::string> shown = {"GFLOP/s", "effective_GFLOP/s", "GB/s", "pct_peak", "spread_pct"};
    std::string out;
    for (const auto &[name, value] : row.counters)
        if (!shown.count(name))
            out += (out.empty() ? "" : ", ") + escape(name) + " " + number(value);
    return out;
}

std::string table(const Report &report)
{
    std::string out = "<section id=\"rows\">\n<h2>All rows</h2>\n"
                      "<p class=\"tools\" hidden=\"hidden\"><label>Show rows with <input type=\"search\" placeholder=\"conv3x3 avx2\"/></label>"
                      " <output></output></p>\n"
                      "<div class=\"wide\"><table class=\"rows\">\n<thead><tr>";
    static const char *const columns[] = {"kernel", "path", "shape", "time,\u00a0\u00b5s", "GFLOP/s", "effective GFLOP/s", "GB/s", "FLOP/byte",
                                          "% of\u00a0limit", "limit", "spread,\u00a0%", "more"};
    for (const char *column : columns)
        out += format("<th scope=\"col\">%s</th>", column);
    out += "</tr></thead>\n<tbody>\n";
    for (const Result &row : report.rows) {
        double flops = row.get("GFLOP/s"), effective = row.get("effective_GFLOP/s"), bytes = row.get("GB/s");
        out += "<tr><th scope=\"row\">" + escape(row.kernel) + "</th><td>" + escape(row.path) + "</td><td>" + escape(row.shape) + "</td>";
        for (const std::string &cell : {number(row.seconds * 1e6), number(flops), effective > 0 ? number(effective) : "", number(bytes),
                                        bytes > 0 ? number(flops / bytes) : "", format("%.0f", row.get("pct_peak"))})
            out += "<td>" + cell + "</td>";
        out += "<td>" + escape(row.limit) + "</td><td>" + format("%.1f", row.get("spread_pct")) + "</td><td>" + others(row) + "</td></tr>\n";
    }
    return out + "</tbody></table></div>\n</section>\n";
}

} // namespace

std::string html_page(const Report &report)
{
    std::string out = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n<title>bench: ";
    out += escape(value_of(report, "cpu")) + "</title>\n"
           "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
           "<meta name=\"color-scheme\" content=\"light dark\"/>\n"
           "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
           "script-src 'unsafe-inline'\"/>\n<style>\n";
    out += page_style;
    out += "</style>\n</head>\n<body>\n" + heading(report) + limits(report) + "<main>\n" + rooflines(report) + bars(report) + table(report);
    out += "</main>\n<script>\n//<![CDATA[\n";
    out += page_script;
    return out + "//]]>\n</script>\n</body>\n</html>\n";
}
