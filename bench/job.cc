#include "bench/bench.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <new>

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

void *Memory::take(size_t count, size_t size, bool counted)
{
    void *block = alloc_aligned(count ? count : 1, size);
    if (!block)
        throw std::bad_alloc();
    blocks_.emplace_back(block, free);
    if (counted)
        footprint_ += count * size;
    return block;
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
