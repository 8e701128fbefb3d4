#include "bench/chosen.h"

#include "bench/peers.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>

extern "C" {
#include "simd/dispatch.h"
}

/* Scalar FMAs take fifty times as long, so its shapes are smaller: rates compare, times do not. */
RegisteredRows choose_rows(const Options &options, bool emulated)
{
    const struct isa_entry *entries;
    size_t count = isa_list(&entries);
    Filter filter(options.filter);
    RegisteredRows chosen;
    for (size_t i = 0; i < count; i++) {
        const struct kernels *kernels = entries[i].kernels;
        if (!entries[i].supported)
            continue;
        bool slow = emulated || strcmp(kernels->name, "scalar") == 0;
        for (const Row &row : all_rows({options.quick, options.quick ? QUICK_FLOPS : slow ? SLOW_FLOPS : INFINITY})) {
            std::string name = row.kernel + "/" + kernels->name + "/" + row.shape;
            if (filter.wants(name))
                chosen.push_back(std::make_unique<Registered>(
                    Registered{name, row, {kernels, options.threads, cache_sizes(), {nullptr, nullptr}, nullptr}, nullptr, kernels->name}));
        }
    }
    return chosen;
}

std::string add_peers(RegisteredRows &chosen, const Options &options)
{
    std::vector<const Peer *> peers = load_peers(options.threads);
    std::map<std::string, size_t> shapes;
    for (const auto &r : chosen)
        shapes.emplace(r->row.kernel + "/" + r->row.shape, shapes.size());
    struct engine best = {isa_resolve(nullptr), options.threads, cache_sizes(), {nullptr, nullptr}, nullptr};
    std::set<std::string> done;
    RegisteredRows rows;
    for (const auto &r : chosen)
        for (const Peer *peer : peers) {
            std::string name = r->row.kernel + "/" + peer->name + "/" + r->row.shape;
            if (!r->row.peer_can || !r->row.peer_can(*peer) || !done.insert(name).second)
                continue;
            Row row = r->row;
            row.make = [make = row.make_peer, peer](const struct engine &engine) { return make(engine, *peer); };
            rows.push_back(std::make_unique<Registered>(Registered{name, row, best, nullptr, peer->name}));
        }
    for (auto &r : chosen)
        rows.push_back(std::move(r));
    std::stable_sort(rows.begin(), rows.end(), [&](const auto &a, const auto &b) {
        return shapes.at(a->row.kernel + "/" + a->row.shape) < shapes.at(b->row.kernel + "/" + b->row.shape);
    });
    chosen.swap(rows);
    std::string found;
    for (const Peer *peer : peers)
        found += (found.empty() ? "" : "; ") + std::string(peer->name) + " " + peer->version;
    return found.empty() ? "none: install one of those in bench/README.md, and make bench again" : found;
}
