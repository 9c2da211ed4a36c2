#!/usr/bin/env bash
# What the benchmarks need: Google Benchmark, for Linux as Debian packages it and for Windows its source; and the peers that
# the engine is measured against, without which the rest still runs.
set -eu
. "${0%/*}/lib.sh"

here=${0%/*}
bash "$here/packages.sh" bench
bash "$here/packages.sh" peers || say "going on without the peers and tools that are missing: their rows say so"
bash "$here/source.sh" benchmark 1.7.1 benchmark_1.7.1.orig.tar.gz \
    6430e4092653380d9dc4ccb45a1e2dc9259d581f4866dc0759713126056bc1d7 src/benchmark.cc
