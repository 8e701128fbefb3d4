/* The roofline of each ISA: intensity across, rate up, both logarithmic, and the same axes for all, so that they compare. */
#include "bench/html_parts.h"

#include <algorithm>
#include <cmath>

namespace {

/* In SVG units: about a pixel where the page is wide. Text may become twice as large on a phone: margins allow for that. */
const double WIDTH = 760, HEIGHT = 560, LEFT = 62, RIGHT = 744, TOP = 64, BOTTOM = 492, STRIP = 46;
const double LETTER = 7.5;

struct Axis {
    double low, high; /* values */
    double from, to;  /* where they are drawn */
    double at(double value) const { return from + (to - from) * std::log10(value / low) / std::log10(high / low); }
};

double rate(double flops_a_second) { return flops_a_second * 1e-9; }

/* No row is above it, whatever its mix of reads and writes. */
double fastest(const LevelPeak &level) { return rate(*std::max_element(level.bandwidth, level.bandwidth + PROBE_TRAFFICS)); }

struct Plot {
    Axis x, y;
    bool strip; /* rows without FLOPs have a place of their own, left of x.from */
};

/* From all rows of all ISAs, and always with the ridges, where the roofs bend. */
Plot plot_for(const Report &report)
{
    double x0 = 1, x1 = 1, y0 = 1, y1 = 1, least_bytes = INFINITY;
    bool first = true, strip = false;
    auto grow_x = [&](double v) { x0 = std::min(first ? v : x0, v), x1 = std::max(first ? v : x1, v), first = false; };
    for (const auto &[isa, peaks] : report.peaks)
        for (const LevelPeak &level : peaks.levels)
            for (double margin : {0.25, 4.0})
                grow_x(margin * rate(peaks.flops) / fastest(level));
    first = true;
    auto grow_y = [&](double v) { y0 = std::min(first ? v : y0, v), y1 = std::max(first ? v : y1, v), first = false; };
    for (const auto &[isa, peaks] : report.peaks)
        if (peaks.threads == report.threads)
            grow_y(rate(peaks.flops)), grow_y(0.1 * rate(peaks.fma));
    for (const Result &row : report.rows) {
        double flops = row.get("GFLOP/s"), bytes = row.get("GB/s");
        if (!peaks_of(report, row.path) || bytes <= 0)
            continue;
        if (flops > 0)
            grow_x(flops / bytes), grow_y(flops), grow_y(std::max(flops, row.get("effective_GFLOP/s")));
        else
            strip = true, least_bytes = std::min(least_bytes, bytes);
    }
    x0 *= 0.8, x1 *= 1.25;
    if (strip)
        grow_y(least_bytes * x0);
    double left = LEFT + (strip ? STRIP : 0);
    return {{x0, x1, left, RIGHT}, {0.7 * y0, 1.2 * y1, BOTTOM, TOP}, strip};
}

std::string line(double x0, double y0, double x1, double y1, const char *what)
{
    return format("<path class=\"%s\" d=\"M%.1f %.1fL%.1f %.1f\"/>\n", what, x0, y0, x1, y1);
}

std::string text(double x, double y, const char *what, const std::string &content)
{
    return format("<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">", what, x, y) + content + "</text>\n";
}

std::string tick_label(double value)
{
    if (value < 0.001)
        return format("1e%.0f", std::floor(std::log10(value) + 1e-9));
    return value >= 1 ? format("%.0f", value) : format("%.*f", static_cast<int>(std::lround(-std::floor(std::log10(value) + 1e-9))), value);
}

std::string axes(const Plot &plot)
{
    std::string out;
    for (bool across : {true, false}) {
        const Axis &axis = across ? plot.x : plot.y;
        bool few = axis.high / axis.low < 150; /* then 2 and 5 have labels as well */
        for (double decade = std::pow(10, std::floor(std::log10(axis.low))); decade < axis.high; decade *= 10)
            for (int step = 1; step < 10; step++) {
                double value = step * decade, at = axis.at(value);
                if (value < axis.low || value > axis.high)
                    continue;
                bool named = step == 1 || (few && (step == 2 || step == 5)), edge = std::fabs(at - axis.from) < 2;
                if (named && !edge)
                    out += across ? line(at, TOP, at, BOTTOM, "grid") : line(plot.x.from, at, RIGHT, at, "grid");
                double length = named ? 7 : 4;
                out += across ? line(at, BOTTOM, at, BOTTOM + length, "axis") : line(LEFT - length, at, LEFT, at, "axis");
                if (named)
                    out += across ? text(at, BOTTOM + 8, "tick below", tick_label(value)) : text(LEFT - 10, at, "tick left", tick_label(value));
            }
    }
    out += line(LEFT, BOTTOM, RIGHT, BOTTOM, "axis") + line(LEFT, TOP, LEFT, BOTTOM, "axis");
    out += text(8, 18, "title", "GFLOP/s");
    out += text(RIGHT, HEIGHT - 8, "title right", "intensity, FLOP/byte");
    if (plot.strip) {
        out += line(plot.x.from, TOP, plot.x.from, BOTTOM, "edge");
        out += text((LEFT + plot.x.from) / 2, BOTTOM + 8, "tick below", "0");
    }
    return out;
}

struct Flag {
    double ridge, place, half; /* where its roof bends; the middle of its name, and half its width */
    std::string name, bandwidth;
};

/* Names of the levels stand above their ridges, where no point can be, as near as they can without touching. */
std::vector<Flag> flags_of(const Plot &plot, const Peaks &peaks)
{
    std::vector<Flag> flags;
    double free = plot.x.from;
    for (const LevelPeak &level : peaks.levels) {
        std::string bandwidth = number(fastest(level)) + " GB/s";
        double ridge = plot.x.at(rate(peaks.flops) / fastest(level));
        double half = LETTER / 2 * static_cast<double>(level.name.size() + bandwidth.size() + 2);
        flags.push_back({ridge, std::max(ridge, free + half), half, level.name, bandwidth});
        free = flags.back().place + half;
    }
    free = RIGHT;
    for (size_t i = flags.size(); i-- > 0; free = flags[i].place - flags[i].half)
        flags[i].place = std::min(flags[i].place, free - flags[i].half);
    return flags;
}

/* The slopes of memory, each as far as its ridge, then the flat roofs. */
std::string roofs(const Plot &plot, const Peaks &peaks)
{
    std::string out;
    double fma = rate(peaks.fma), mix = rate(peaks.flops), top = plot.y.at(mix), first_ridge = INFINITY;
    for (const LevelPeak &level : peaks.levels) {
        double bandwidth = fastest(level), foot = std::max(plot.x.low, plot.y.low / bandwidth), height = plot.y.at(bandwidth * foot);
        if (plot.strip && foot == plot.x.low)
            out += line(LEFT, height, plot.x.from, height, "roof");
        out += line(plot.x.at(foot), height, plot.x.at(mix / bandwidth), top, "roof");
        first_ridge = std::min(first_ridge, mix / bandwidth);
    }
    for (const Flag &flag : flags_of(plot, peaks)) {
        out += line(flag.ridge, top, flag.place, top - 27, "leader");
        out += text(flag.place, top - 32, "roofname", escape(flag.name) + "<tspan class=\"more\"> " + flag.bandwidth + "</tspan>");
    }
    out += line(plot.x.at(first_ridge), top, RIGHT, top, "roof");
    bool apart = mix / fma > 1.03;
    const char *unit = "<tspan class=\"more\"> GFLOP/s</tspan>";
    out += text(RIGHT, top - 6, "roofname right", (apart ? "any mix " : "FMA, any mix ") + number(mix) + unit);
    if (apart) {
        out += line(plot.x.at(first_ridge * fma / mix), plot.y.at(fma), RIGHT, plot.y.at(fma), "roof dashed");
        out += text(RIGHT, plot.y.at(fma) + 5, "roofname right under", "FMA " + number(fma) + unit);
    }
    return out;
}

std::string told(const Result &row)
{
    double flops = row.get("GFLOP/s"), bytes = row.get("GB/s"), effective = row.get("effective_GFLOP/s");
    std::string out = row.kernel + "/" + row.path + "/" + row.shape + "\n";
    if (flops > 0)
        out += number(flops) + " GFLOP/s at " + number(flops / bytes) + " FLOP/byte, ";
    out += number(bytes) + " GB/s\n";
    if (effective > 0)
        out += "effective " + number(effective) + " GFLOP/s, " + number(row.get("x_fma_peak")) + " times the FMA peak\n";
    return out + format("%.0f %% of its limit: ", row.get("pct_peak")) + row.limit;
}

/* Where the pointer reads more: l is the height of the row's own limit, e that of its effective rate. */
std::string point(const Plot &plot, const Result &row, size_t kind, double strip_place)
{
    double flops = row.get("GFLOP/s"), bytes = row.get("GB/s"), effective = row.get("effective_GFLOP/s"), percent = row.get("pct_peak");
    double x = flops > 0 ? plot.x.at(flops / bytes) : LEFT + STRIP * strip_place;
    double height = flops > 0 ? flops : bytes * plot.x.low;
    std::string out = format("<g class=\"point k%zu\" role=\"img\" transform=\"translate(%.1f %.1f)\"", kind, x, plot.y.at(height));
    if (percent > 0)
        out += format(" data-l=\"%.1f\"", plot.y.at(height * 100 / percent));
    if (effective > 0)
        out += format(" data-e=\"%.1f\"", plot.y.at(effective));
    return out + format("><title>%s</title><use href=\"#m%zu\"/></g>\n", escape(told(row)).c_str(), kind);
}

std::string points(const Plot &plot, const Report &report, const std::string &isa)
{
    std::string out;
    size_t without = 0, placed = 0;
    auto flat = [](const Result &row) { return row.get("GFLOP/s") <= 0; };
    for (const Result &row : report.rows)
        without += row.path == isa && flat(row);
    for (size_t kind = 0; kind < kinds.size(); kind++)
        for (const Result &row : report.rows)
            if (row.path == isa && row.get("GB/s") > 0 && kind_of(row) == kind) {
                placed += flat(row);
                out += point(plot, row, kind, static_cast<double>(placed) / static_cast<double>(without + 1));
            }
    return out;
}

std::string legend(const Report &report)
{
    std::string out = "<fieldset class=\"legend\"><legend>Kinds of rows</legend>\n";
    for (size_t kind = 0; kind < kinds.size(); kind++)
        if (std::any_of(report.rows.begin(), report.rows.end(), [&](const Result &row) { return kind_of(row) == kind; }))
            out += format("<label class=\"k%zu\"><input type=\"checkbox\" id=\"show%zu\" checked=\"checked\"/>"
                          "<svg viewBox=\"-8 -8 16 16\" aria-hidden=\"true\"><use href=\"#m%zu\"/></svg>%s</label>\n",
                          kind, kind, kind, kinds[kind].title);
    return out + "</fieldset>\n";
}

std::string figure(const Plot &plot, const Report &report, const std::string &isa, const Peaks &peaks)
{
    std::string id = escape(isa);
    std::string out = "<figure class=\"roofline\">\n<figcaption>" + id + "</figcaption>\n";
    out += format("<svg viewBox=\"0 0 %.0f %.0f\" role=\"group\" aria-labelledby=\"t-%s d-%s\">\n", WIDTH, HEIGHT, id.c_str(), id.c_str());
    out += "<title id=\"t-" + id + "\">Roofline of " + id + "</title>\n<desc id=\"d-" + id + "\">";
    out += "Each row's FLOPs per byte against its GFLOP/s, both on logarithmic scales, under the limits measured in this run: " +
           number(rate(peaks.fma)) + " GFLOP/s of FMAs, " + number(rate(peaks.flops)) + " GFLOP/s of any mix";
    for (const LevelPeak &level : peaks.levels)
        out += ", " + escape(level.name) + " " + number(fastest(level)) + " GB/s";
    out += ". The table below has the same figures.</desc>\n";
    return out + axes(plot) + roofs(plot, peaks) + points(plot, report, isa) +
           "<g class=\"pin\"></g>\n</svg>\n<p class=\"tip\" hidden=\"hidden\"></p>\n</figure>\n";
}

const char reading[] =
    "<div class=\"reading\">\n<h3>How to read it</h3>\n"
    "<p>Every mark is a row. Right of a ridge arithmetic limits it, left of it memory does: the slopes are the fastest traffic that each "
    "level gave, so no row can lie above the slope of the level that holds its data. The exact limit of a row, from its own mix of reads "
    "and writes, shows as a bar when you point at it; in a chart that has the focus, arrow keys go from row to row.</p>\n"
    "<p>Winograd's convolutions are drawn at the rate of the products that they make. Pointing at one also shows, as a ring, its "
    "effective rate: that of a direct convolution which would take the same time.</p>\n"
    "<p class=\"strip\">Rows in the strip at 0 only move data. Their height is their GB/s, against the slopes that enter from the strip.</p>\n"
    "</div>\n";

} // namespace

std::string rooflines(const Report &report)
{
    std::string out = "<svg class=\"marks\" aria-hidden=\"true\"><defs>\n";
    for (size_t kind = 0; kind < kinds.size(); kind++)
        out += format("<g id=\"m%zu\" class=\"mark\">%s</g>\n", kind, kinds[kind].mark);
    out += "</defs></svg>\n";
    Plot plot = plot_for(report);
    out += "<section id=\"rooflines\">\n<h2>Rooflines</h2>\n" + legend(report) + "<div class=\"charts\">\n";
    for (auto at = report.peaks.rbegin(); at != report.peaks.rend(); ++at)
        if (at->second.threads == report.threads)
            out += figure(plot, report, at->first, at->second);
    return out + reading + "</div>\n</section>\n";
}
