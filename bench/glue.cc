/*
 * glue.cc - the one C++ file: gives the benchmarks that are written in C to Google Benchmark.
 *
 * A state's driver is Google Benchmark's State, or a struct once when the benchmark runs by itself for counting. The loop's
 * turns are fetched in one piece (KeepRunningBatch), so that a turn costs a decrement and a branch, in a register.
 */
#include "bench/bench.h"

#include <benchmark/benchmark.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <deque>
#include <string>

#include "bench/system.h"

namespace {

struct registration {
    std::string name;      /* as registered */
    std::string full_name; /* with its arguments */
    struct bench bench;
};

std::deque<registration> &registrations() {
    static std::deque<registration> list; /* a deque: what it holds stays where it is */
    return list;
}

/* Stands for Google Benchmark's State in bench_once. */
struct once {
    uint64_t turns;
    bool failed;
};

bool running_once;

benchmark::State *driver_of(struct bench_state *state) {
    return static_cast<benchmark::State *>(state->driver);
}

once *once_of(struct bench_state *state) {
    return static_cast<once *>(state->driver);
}

struct bench_state state_of(const struct bench &bench) {
    struct bench_state state = {};
    memcpy(state.argument, bench.argument, sizeof state.argument);
    state.context = bench.context;
    return state;
}

void run(benchmark::State &driver, const registration *what) {
    struct bench_state state = state_of(what->bench);
    state.thread = driver.thread_index();
    state.count_threads = driver.threads();
    state.turns = static_cast<uint64_t>(driver.max_iterations);
    state.driver = &driver;
    what->bench.run(&state);
}

} // namespace

void (*bench_once_mark)(void);

void bench_register(const struct bench *bench) {
    registrations().push_back({bench->name, bench->name, *bench});
    registration &mine = registrations().back();
    mine.bench.name = mine.name.c_str();
    for (int i = 0; i < bench->count_arguments; i++) mine.full_name += "/" + std::to_string(bench->argument[i]);

    const registration *what = &mine;
    auto *made = benchmark::RegisterBenchmark(mine.name.c_str(), [what](benchmark::State &driver) { run(driver, what); });
    if (bench->count_arguments != 0) made->Args(std::vector<int64_t>(bench->argument, bench->argument + bench->count_arguments));
    if (bench->turns != 0) made->Iterations(static_cast<benchmark::IterationCount>(bench->turns));
    made->UseRealTime();
    made->Threads(bench->threads == 0 ? 1 : bench->threads);
}

uint64_t bench_begin(struct bench_state *state) {
    if (running_once) {
        if (bench_once_mark != nullptr) bench_once_mark();
        return state->turns;
    }
    benchmark::State *driver = driver_of(state);
    state->over = !driver->KeepRunningBatch(driver->max_iterations); /* at once where a run has failed before */
    return state->over ? 0 : state->turns;
}

bool bench_end(struct bench_state *state) {
    if (running_once) {
        if (bench_once_mark != nullptr) bench_once_mark();
        return false;
    }
    if (!state->over) state->over = !driver_of(state)->KeepRunningBatch(driver_of(state)->max_iterations);
    return false;
}

void bench_pause(struct bench_state *state) {
    if (!running_once) driver_of(state)->PauseTiming();
}

void bench_resume(struct bench_state *state) {
    if (!running_once) driver_of(state)->ResumeTiming();
}

void bench_items(struct bench_state *state, double per_turn) {
    if (running_once) return;
    driver_of(state)->counters["items_per_second"] =
        benchmark::Counter(per_turn * static_cast<double>(state->turns), benchmark::Counter::kIsRate);
}

void bench_count(struct bench_state *state, const char *name, double value, enum bench_counter kind) {
    if (running_once) return;
    driver_of(state)->counters[name] =
        benchmark::Counter(value, kind == BENCH_PER_TURN ? benchmark::Counter::kAvgIterations : benchmark::Counter::kDefaults);
}

void bench_fail(struct bench_state *state, const char *why) {
    if (running_once) {
        once_of(state)->failed = true;
        fprintf(stderr, "hostmem-bench: %s\n", why);
        return;
    }
    driver_of(state)->SkipWithError(why);
}

const struct bench *bench_find(const char *name) {
    for (const registration &each : registrations()) {
        if (each.full_name == name) return &each.bench;
    }
    return nullptr;
}

bool bench_once(const struct bench *bench, uint64_t turns) {
    once driver = {turns, false};
    struct bench_state state = state_of(*bench);
    state.count_threads = 1;
    state.turns = turns;
    state.driver = &driver;
    running_once = true;
    bench->run(&state);
    running_once = false;
    return !driver.failed;
}

int main(int argc, char **argv) {
    int status = 0;
    bench_register_all();
    if (bench_other_command(argc, argv, &status)) return status;
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    benchmark::AddCustomContext("system", system_name());
    benchmark::AddCustomContext("malloc_served_by", system_library_of_malloc());
    /* A filter that fits nothing is a mistake, and has been reported. */
    if (benchmark::RunSpecifiedBenchmarks() == 0) return 1;
    benchmark::Shutdown();
    return 0;
}
