#include "bench/bench.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <stdexcept>

extern "C" {
#include "base/arena.h"
#include "base/par.h"
}

Work operator*(double times, const Work &work)
{
    return {times * work.fma, times * work.other, times * work.read, times * work.written, work.in_place};
}

Work operator+(const Work &a, const Work &b)
{
    return {a.fma + b.fma, a.other + b.other, a.read + b.read, a.written + b.written, a.in_place || b.in_place};
}

void *Memory::take(size_t bytes, bool counted)
{
    void *data = alloc_aligned(bytes ? bytes : 1, 1);
    if (!data)
        throw std::bad_alloc();
    blocks_.push_back({{data, free}, counted ? bytes : 0, 0, 0, 0, 0, 0});
    footprint_ += blocks_.back().bytes;
    return data;
}

float *Memory::panels(int nr, size_t k, size_t columns, size_t times, size_t apart)
{
    size_t width = static_cast<size_t>(nr);
    if (columns % width)
        throw std::logic_error(format("%zu columns are not whole panels of %d", columns, nr));
    float *data = zeros<float>(times * apart);
    Block &block = blocks_.back();
    block.nr = width, block.k = k, block.columns = columns, block.times = times, block.apart = apart;
    return data;
}

Bytes Memory::contents() const
{
    Bytes all;
    all.reserve(footprint_);
    for (const Block &b : blocks_) {
        const unsigned char *data = static_cast<const unsigned char *>(b.data.get());
        if (b.nr == 0)
            all.insert(all.end(), data, data + b.bytes);
        for (size_t t = 0; b.nr && t < b.times; t++)
            for (size_t p = 0; p < b.k; p++)
                for (size_t j = 0; j < b.columns; j += b.nr) {
                    const unsigned char *at = data + sizeof(float) * (t * b.apart + j * b.k + p * b.nr);
                    all.insert(all.end(), at, at + sizeof(float) * b.nr);
                }
    }
    return all;
}

static uint32_t next_random(uint32_t &state)
{
    return (state = state * 1664525u + 1013904223u) >> 8;
}

float *Memory::unit(size_t count)
{
    float *data = zeros<float>(count);
    uint32_t state = 1;
    for (size_t i = 0; i < count; i++)
        data[i] = static_cast<float>(next_random(state)) / (1 << 24);
    return data;
}

float *Memory::floats(size_t count)
{
    float *data = unit(count);
    for (size_t i = 0; i < count; i++)
        data[i] = 2 * data[i] - 1;
    return data;
}

uint8_t *Memory::bytes(size_t count)
{
    uint8_t *data = zeros<uint8_t>(count);
    uint32_t state = 1;
    for (size_t i = 0; i < count; i++)
        data[i] = static_cast<uint8_t>(next_random(state) >> 16);
    return data;
}

void parallel(int threads, size_t chunks, const std::function<void(size_t)> &body)
{
    par_for(threads, chunks,
            [](void *ctx, size_t chunk, int) { (*static_cast<const std::function<void(size_t)> *>(ctx))(chunk); },
            const_cast<std::function<void(size_t)> *>(&body));
}

Job engine_job(std::shared_ptr<Memory> memory, const Work &work, std::function<void()> call)
{
    Job job;
    job.work = work;
    job.footprint = static_cast<double>(memory->footprint());
    job.results = [memory] { return memory->contents(); };
    job.run = [memory, call](size_t calls) {
        for (size_t i = 0; i < calls; i++)
            call();
    };
    return job;
}

Job kernel_job(const struct engine &engine, const Work &work_of_one, const MakeCall &make)
{
    auto memory = std::make_shared<Memory>();
    auto calls_of_threads = std::make_shared<std::vector<Call>>();
    int threads = engine.threads;
    for (int i = 0; i < threads; i++)
        calls_of_threads->push_back(make(engine.kernels, *memory));
    Job job;
    job.work = static_cast<double>(threads) * work_of_one;
    job.footprint = static_cast<double>(memory->footprint());
    job.results = [memory] { return memory->contents(); };
    job.run = [memory, calls_of_threads, threads](size_t calls) {
        parallel(threads, static_cast<size_t>(threads), [&](size_t thread) {
            const Call &call = (*calls_of_threads)[thread];
            for (size_t i = 0; i < calls; i++)
                call();
        });
    };
    return job;
}

std::string format(const char *text, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, text);
    vsnprintf(line, sizeof line, text, arguments);
    va_end(arguments);
    return line;
}
