#include "bench/machine.h"

#include "bench/bench.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sys/resource.h>
#include <unistd.h>

#if defined __x86_64__
#include <cpuid.h>
#endif

static std::string first_line(const std::string &path)
{
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

/* "0-3,8" -> 5 */
static int count_cpus(const std::string &list)
{
    int count = 0, from, to, used;
    for (const char *p = list.c_str(); sscanf(p, "%d%n", &from, &used) == 1;) {
        p += used;
        to = from;
        if (*p == '-' && sscanf(p + 1, "%d%n", &to, &used) == 1)
            p += used + 1;
        count += to - from + 1;
        if (*p++ != ',')
            break;
    }
    return count > 0 ? count : 1;
}

static double parse_size(const std::string &text)
{
    char *end;
    double size = strtod(text.c_str(), &end);
    return size * (*end == 'K' ? 1024 : *end == 'M' ? 1024 * 1024 : 1);
}

std::vector<CacheLevel> machine_caches(bool &assumed)
{
    std::vector<CacheLevel> levels;
    assumed = false;
    for (int i = 0; i < 8; i++) {
        std::string folder = format("/sys/devices/system/cpu/cpu0/cache/index%d/", i);
        std::string level = first_line(folder + "level"), type = first_line(folder + "type");
        double bytes = parse_size(first_line(folder + "size"));
        if (!level.empty() && type != "Instruction" && bytes > 0)
            levels.push_back({"L" + level, bytes, count_cpus(first_line(folder + "shared_cpu_list"))});
    }
    if (!levels.empty())
        return levels;
    static const struct { const char *name; int l; } names[] = {
        {"L1", _SC_LEVEL1_DCACHE_SIZE}, {"L2", _SC_LEVEL2_CACHE_SIZE}, {"L3", _SC_LEVEL3_CACHE_SIZE}};
    int cpus = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
    for (const auto &n : names)
        if (long bytes = sysconf(n.l); bytes > 0)
            levels.push_back({n.name, static_cast<double>(bytes), n.l == _SC_LEVEL3_CACHE_SIZE ? cpus : 1});
    if (levels.empty()) {
        assumed = true;
        levels = {{"L1", 32 * 1024, 1}, {"L2", 1024 * 1024, cpus}};
    }
    return levels;
}

double machine_available_memory()
{
    std::ifstream file("/proc/meminfo");
    std::string name;
    double kib = 0;
    for (std::string line; std::getline(file, line);)
        if (sscanf(line.c_str(), "MemAvailable: %lf", &kib) == 1)
            return kib * 1024;
    return 1 << 30;
}

std::string machine_load_warning()
{
    double load[1];
    if (getloadavg(load, 1) != 1 || load[0] < 0.5)
        return "";
    return format("the machine is loaded (%.1f programs run or wait): figures will be too low and spread", load[0]);
}

bool machine_is_emulated()
{
#if defined __x86_64__
    unsigned a, b, c, d;
    char signature[13] = "";
    __cpuid(0x40000000, a, b, c, d);
    memcpy(signature, &b, 4);
    memcpy(signature + 4, &c, 4);
    memcpy(signature + 8, &d, 4);
    return strcmp(signature, "TCGTCGTCGTCG") == 0;
#else
    /* qemu shows a program the CPU of the machine it really runs on. */
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);)
        if (line.compare(0, 9, "vendor_id") == 0 && line.find("IBM") == std::string::npos)
            return true;
    return false;
#endif
}

void machine_reset_peak_rss()
{
    std::ofstream("/proc/self/clear_refs") << "5";
}

double machine_peak_rss()
{
    std::ifstream file("/proc/self/status");
    double kib = 0;
    for (std::string line; std::getline(file, line);)
        if (sscanf(line.c_str(), "VmHWM: %lf", &kib) == 1)
            return kib * 1024;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_maxrss) * 1024;
}
