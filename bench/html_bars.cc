/* Bars: what each path makes of the same kernel. Scalar rows have smaller batches, so it is rates that are compared. */
#include "bench/html_parts.h"

#include <algorithm>
#include <cmath>

namespace {

struct Bar {
    std::string path;
    double rate; /* GFLOP/s, effective where that is told; GB/s if the kernel has no FLOPs */
};
struct Group {
    std::string name; /* a shape without its batch */
    std::vector<Bar> bars;
};
struct Kernel {
    std::string name;
    std::string unit = "GB/s";
    std::vector<Group> groups;
};

template <class T> T &named(std::vector<T> &list, const std::string &name)
{
    for (T &item : list)
        if (item.name == name)
            return item;
    list.emplace_back();
    list.back().name = name;
    return list.back();
}

/* ISAs from the least to the best, then other libraries as they come. */
std::vector<std::string> paths_of(const Report &report)
{
    std::vector<std::string> paths, peers;
    auto add = [](std::vector<std::string> &list, const std::string &path) {
        if (std::find(list.begin(), list.end(), path) == list.end())
            list.push_back(path);
    };
    for (const auto &entry : report.peaks)
        add(paths, entry.first);
    for (const Result &row : report.rows)
        if (!peaks_of(report, row.path))
            add(peers, row.path);
    paths.insert(paths.end(), peers.begin(), peers.end());
    return paths;
}

std::vector<Kernel> gather(const Report &report)
{
    std::vector<Kernel> kernels;
    for (const Result &row : report.rows) {
        Kernel &kernel = named(kernels, row.kernel);
        if (row.get("effective_GFLOP/s") > 0)
            kernel.unit = "effective GFLOP/s";
        else if (row.get("GFLOP/s") > 0 && kernel.unit == "GB/s")
            kernel.unit = "GFLOP/s";
    }
    for (const std::string &path : paths_of(report))
        for (const Result &row : report.rows)
            if (row.path == path) {
                Kernel &kernel = named(kernels, row.kernel);
                double effective = row.get("effective_GFLOP/s"), flops = row.get("GFLOP/s");
                double rate = effective > 0 ? effective : kernel.unit != "GB/s" ? flops : row.get("GB/s");
                std::vector<Bar> &bars = named(kernel.groups, without_batch(row.shape)).bars;
                if (!bars.empty() && bars.back().path == path) /* the same shape with another batch */
                    bars.back().rate = std::max(bars.back().rate, rate);
                else
                    bars.push_back({path, rate});
            }
    return kernels;
}

/* The geometric mean over the shapes that every path of the kernel has; `count` tells how many those are. */
Group mean_of(const Kernel &kernel, size_t &count)
{
    size_t most = 0;
    for (const Group &group : kernel.groups)
        most = std::max(most, group.bars.size());
    Group mean;
    count = 0;
    for (const Group &group : kernel.groups) {
        if (group.bars.size() < most)
            continue;
        mean.name = group.name;
        for (size_t i = 0; i < most; i++) {
            if (count == 0)
                mean.bars.push_back({group.bars[i].path, 0});
            mean.bars[i].rate += std::log(group.bars[i].rate);
        }
        count++;
    }
    for (Bar &bar : mean.bars)
        bar.rate = std::exp(bar.rate / static_cast<double>(count));
    return mean;
}

/* Bars begin at zero; the longest of a group is its whole width. */
std::string draw(const Report &report, const Group &group, const std::string &caption)
{
    double most = 0;
    for (const Bar &bar : group.bars)
        most = std::max(most, bar.rate);
    std::string out = "<table class=\"bars\"><caption>" + caption + "</caption>\n";
    for (const Bar &bar : group.bars) {
        const char *owner = peaks_of(report, bar.path) ? "own" : "peer";
        out += "<tr><th scope=\"row\">" + escape(bar.path) + "</th><td><i class=\"" + owner;
        out += format("\" style=\"width:%.1f%%\"></i></td><td>", most > 0 ? 100 * bar.rate / most : 0) + number(bar.rate) + "</td><td>";
        if (&bar != &group.bars[0] && group.bars[0].rate > 0)
            out += number(bar.rate / group.bars[0].rate) + "\u00d7";
        out += "</td></tr>\n";
    }
    return out + "</table>\n";
}

std::string card(const Report &report, const Kernel &kernel)
{
    size_t common, several = 0;
    Group mean = mean_of(kernel, common);
    for (const Group &group : kernel.groups)
        several += group.bars.size() > 1;
    if (several == 0)
        return "";
    std::string caption = "<b>" + escape(kernel.name) + "</b> " + kernel.unit + ", ";
    caption += common == 1 ? escape(mean.name) : format("mean of %zu shapes", common);
    std::string out = "<div class=\"kernel\">\n" + draw(report, mean, caption);
    if (several > 1) {
        out += format("<details><summary>%zu shapes</summary>\n", several);
        for (const Group &group : kernel.groups)
            if (group.bars.size() > 1)
                out += draw(report, group, escape(group.name));
        out += "</details>\n";
    }
    return out + "</div>\n";
}

} // namespace

std::string bars(const Report &report)
{
    std::string cards;
    for (const Kernel &kernel : gather(report))
        cards += card(report, kernel);
    std::string out = "<section id=\"paths\">\n<h2>Paths</h2>\n";
    if (cards.empty())
        return out + "<p>Every kernel of this run has one path only: there is nothing to compare.</p>\n</section>\n";
    return out + "<p>Rates of each kernel on a scale of its own, from zero; beside them, the ratio to the first path. Means are geometric, "
                 "over the shapes that all paths of the kernel have.</p>\n<div class=\"kernels\">\n" + cards + "</div>\n</section>\n";
}
