/* The roofline of each ISA: intensity across, rate up, both logarithmic, and the same axes for all, so that they compare. */
#include "bench/html_parts.h"

#include <algorithm>
#include <cmath>

namespace {

/* In SVG units: about a pixel where the page is wide. Text may become twice as large on a phone: margins allow for that. */
const double WIDTH = 760, HEIGHT = 560, LEFT = 62, RIGHT = 744, TOP = 44, BOTTOM = 496, STRIP = 46, LETTER = 7.8;
/* FLOPs a byte: what has fewer only moves data, and is compared by its bytes, in a strip left of the chart. */
const double LEAST_INTENSITY = 0.05;

struct Axis {
    double low, high; /* values */
    double from, to;  /* where they are drawn */
    double at(double value) const { return from + (to - from) * std::log10(value / low) / std::log10(high / low); }
};

double rate(double flops_a_second) { return flops_a_second * 1e-9; }

/* No row is above it, whatever its mix of reads and writes. */
double fastest(const LevelPeak &level) { return rate(*std::max_element(level.bandwidth, level.bandwidth + PROBE_TRAFFICS)); }

struct Range {
    double low = INFINITY, high = 0;
    void take(double value) { low = std::min(low, value), high = std::max(high, value); }
};

struct Plot {
    Axis x, y;
    bool strip;
};

/* 0: the row belongs into the strip. */
double intensity(const Result &row)
{
    double value = row.get("GFLOP/s") / row.get("GB/s");
    return value < LEAST_INTENSITY ? 0 : value;
}

/* What a row is drawn at: in the strip its bytes count as if they came with the chart's least intensity, for there the slopes end. */
double height(const Result &row, const Axis &x) { return intensity(row) > 0 ? row.get("GFLOP/s") : row.get("GB/s") * x.low; }

bool has_place(const Report &report, const Result &row) { return row.get("GB/s") > 0 && peaks_of(report, row.path); }

/* From all rows of all ISAs, and always with the ridges, where the roofs bend. */
Plot plot_for(const Report &report)
{
    Range x, y;
    bool strip = false;
    for (const auto &[isa, peaks] : report.peaks) {
        if (peaks.threads != report.threads)
            continue;
        for (const LevelPeak &level : peaks.levels)
            for (double margin : {0.25, 40.0}) /* right of them the names of the flat roofs have room */
                x.take(margin * rate(peaks.flops) / fastest(level));
        y.take(1.5 * rate(peaks.flops)), y.take(0.1 * rate(peaks.fma));
    }
    for (const Result &row : report.rows)
        if (has_place(report, row)) {
            x.take(std::max(intensity(row), LEAST_INTENSITY));
            strip = strip || intensity(row) == 0;
        }
    Axis across = {0.8 * x.low, 1.25 * x.high, LEFT + (strip ? STRIP : 0), RIGHT};
    for (const Result &row : report.rows)
        if (has_place(report, row))
            for (double up : {height(row, across), 1.1 * row.get("effective_GFLOP/s")})
                if (up > 0)
                    y.take(up);
    return {across, {0.7 * y.low, y.high, BOTTOM, TOP}, strip};
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
    out += text(8, 20, "title", "GFLOP/s");
    out += text(RIGHT, HEIGHT - 6, "title right", "intensity, FLOP/byte");
    if (plot.strip) {
        out += line(plot.x.from, TOP, plot.x.from, BOTTOM, "edge");
        out += text((LEFT + plot.x.from) / 2, BOTTOM + 8, "tick below", "\u22480");
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
        out += text(flag.place, top - 32, "roofname", escape(flag.name) + "<tspan class=\"more value\"> " + flag.bandwidth + "</tspan>");
    }
    out += line(plot.x.at(first_ridge), top, RIGHT, top, "roof");
    std::string name = (mix / fma > 1.03 ? "" : "FMA, ") + ("any mix " + number(mix));
    if (mix / fma > 1.03) {
        out += line(std::max(LEFT, plot.x.at(first_ridge * fma / mix)), plot.y.at(fma), RIGHT, plot.y.at(fma), "roof dashed");
        name += ", FMA<tspan class=\"more\"> (dashed)</tspan> " + number(fma);
    }
    return out + text(RIGHT, top - 6, "roofname right", name + "<tspan class=\"more\"> GFLOP/s</tspan>");
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

/* For the script that answers the pointer, l is the height of the row's own limit, and e that of its effective rate. */
std::string point(const Plot &plot, const Result &row, size_t kind, double strip_place)
{
    double effective = row.get("effective_GFLOP/s"), percent = row.get("pct_peak"), up = height(row, plot.x);
    double x = intensity(row) > 0 ? plot.x.at(intensity(row)) : LEFT + 4 + (STRIP - 8) * strip_place;
    std::string out = format("<g class=\"point k%zu\" role=\"img\" transform=\"translate(%.1f %.1f)\"", kind, x, plot.y.at(up));
    if (percent > 0)
        out += format(" data-l=\"%.1f\"", plot.y.at(up * 100 / percent));
    if (effective > 0)
        out += format(" data-e=\"%.1f\"", plot.y.at(effective));
    return out + "><title>" + escape(told(row)) + format("</title><use href=\"#m%zu\"/></g>\n", kind);
}

/* The strip has no scale across: its rows stand side by side, by kind. */
std::string points(const Plot &plot, const Report &report, const std::string &isa)
{
    std::string out;
    size_t in_strip = 0, placed = 0;
    auto drawn = [&](const Result &row) { return row.path == isa && has_place(report, row); };
    for (const Result &row : report.rows)
        in_strip += drawn(row) && intensity(row) == 0;
    for (size_t kind = 0; kind < kinds.size(); kind++)
        for (const Result &row : report.rows)
            if (drawn(row) && kind_of(row) == kind) {
                placed += intensity(row) == 0;
                out += point(plot, row, kind, static_cast<double>(placed) / static_cast<double>(in_strip + 1));
            }
    return out;
}

std::string legend(const Report &report)
{
    std::string out = "<fieldset class=\"legend\"><legend>Kinds of rows</legend>\n";
    for (size_t kind = 0; kind < kinds.size(); kind++)
        if (std::any_of(report.rows.begin(), report.rows.end(), [&](const Result &row) { return kind_of(row) == kind; }))
            out += format("<label><input type=\"checkbox\" id=\"show%zu\" checked=\"checked\"/>"
                          "<svg class=\"k%zu\" viewBox=\"-8 -8 16 16\" aria-hidden=\"true\"><use href=\"#m%zu\"/></svg>%s</label>\n",
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
    "<p>Rows in the strip at \u22480 have fewer than 0.05 FLOPs a byte: they move data. Their height is their GB/s beside that of the "
    "slopes, which go on into the strip.</p>\n"
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
