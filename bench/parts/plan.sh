# What a round is: every part that is wanted, every peer in turn. Read by run.sh.

# Parallel arrays, one entry a step: what to say, and the command.
says=() commands=()
add() {
    says+=("$1")
    shift
    commands+=("$(printf '%q ' "$@")")
}

# run_bench SYSTEM PEER KIND ROUND FILTER: one process, one file of figures.
run_bench() {
    local file=$runs/$1.$2.$3.$4.json limit=120
    [ -z "$full" ] || limit=600
    set -- "$@" --benchmark_filter="$5" --benchmark_min_time="$min_time" --benchmark_repetitions="$repetitions" \
        --benchmark_out_format=json
    if [ "$1" = wine ]; then
        timeout $limit bash src/setup/wine.sh $windows_program "${@:6}" --benchmark_out="$file" >>"$log" 2>&1 8>&-
    else
        timeout $limit env LD_PRELOAD="${file_of[$2]-}" $program "${@:6}" --benchmark_out="$file" >>"$log" 2>&1 8>&-
    fi || { warn "$1, $2, $3, round $4: failed or took more than $((limit / 60)) minutes; $log has its output"; rm -f "$file"; }
}

# They sleep most of the time and are not timed: all at once.
run_memory() {
    local peer heap
    for peer in "${peers[@]}"; do
        run_bench linux "$peer" memory "$1" '^residency/' &
    done
    wait
    # A process each: what one left behind would serve the next.
    for peer in "${peers[@]}"; do
        run_bench linux "$peer" blocks-64 "$1" '^footprint/blocks/libc/64/'
        run_bench linux "$peer" blocks-1024 "$1" '^footprint/blocks/libc/1024/'
    done
    for heap in engine engine-flat; do
        run_bench linux none "$heap-64" "$1" "^footprint/blocks/$heap/64/"
        run_bench linux none "$heap-1024" "$1" "^footprint/blocks/$heap/1024/"
    done
    run_bench linux none footprint "$1" '^footprint/vm/'
}

run_windows_memory() {
    local heap size
    for heap in engine engine-flat process-heap private-heap msvcrt mimalloc; do
        for size in 64 1024; do
            run_bench wine none "blocks-$heap-$size" "$1" "^footprint/blocks/$heap/$size/"
        done
    done
    run_bench wine none footprint "$1" '^footprint/vm/'
}

# run_replay SYSTEM MEMORY TRACE ROUND
run_replay() {
    local replay=(build/linux/hostmem-replay)
    [ "$1" = linux ] || replay=(bash src/setup/wine.sh build/windows/hostmem-replay.exe)
    local file=$runs/$1.$2.replay-$(trace_name "$3").$4.json
    timeout 120 "${replay[@]}" --json --no-check --memory "$2" "$3" >"$file" 2>>"$log" 8>&- ||
        { warn "${3##*/} on $2 memory, $1: replay failed or differs from the recording; $log has its output"; rm -f "$file"; }
}

# run_clr KIND ROUND [OPTION]: raw and engine, one after the other.
run_clr() {
    RUNS=1 timeout 300 sh src/tools/clr/run.sh build/linux .cache --json ${3:+"$3"} \
        --report "$runs/linux.clr.$1.$2.json" >>"$log" 2>&1 8>&- ||
        { warn "the CLR, $1 GC, round $2: failed; $log has its output"; rm -f "$runs/linux.clr.$1.$2.json"; }
}

# What of each group is run, as regular expressions: the quick set's, and everything.
patterns=(replace/libc hand-over/libc/64 hand-over/libc/1024 xmalloc/libc larson/libc/2 larson/libc/8 churn/libc)
if [ -z "$full" ]; then
    vm_set='^vm/(untouched|touched|reserve|recommit|commit-committed|protect|query)/'
    vm_set+='|^vm/grow(-again)?/[a-z]*/65536/|^latency/(nothing|(un)?touched)/'
    object_set='^(object/(pair|burst)/|latency/(alloc|free)/(engine|libc)/)'
    malloc_set='^(malloc/|object/(grow|aligned)/|latency/(alloc|free)/libc)'
    windows_set="$vm_set|^object/pair/|^object/burst/.*/(64|4096)/"
    windows_patterns='replace/HEAP|larson/HEAP/2|churn/HEAP'
    windows_heaps=(engine mimalloc process-heap)
    traces=(perf/traces/clr20-windows.txt perf/traces/go-esbuild.txt perf/traces/v8-node14.txt)
else
    patterns+=(larson/libc/1)
    vm_set='^(vm|latency/(nothing|(un)?touched|give|recommit|decommit))/'
    object_set='^(object/|latency/(alloc|free)/)'
    malloc_set='^(malloc/|object/(grow|aligned)/|latency/(alloc|free)/libc)'
    windows_set="$vm_set|^object/"
    windows_patterns='(replace|hand-over|xmalloc|churn)/HEAP|larson/HEAP/[12]'
    windows_heaps=(engine engine-flat mimalloc process-heap private-heap msvcrt)
    traces=(perf/traces/*.txt*)
fi

[ ${#own_traces[@]} = 0 ] || traces=("${own_traces[@]}")

plan_malloc() {
    local round=$1 peer pattern heap
    ! wants objects || add "round $round: IHostMalloc and the flat heap" run_bench linux none object "$round" "$object_set"
    for peer in "${peers[@]}"; do
        ! wants malloc || add "round $round: malloc, $peer" run_bench linux "$peer" malloc "$round" "$malloc_set"
    done
    wants patterns || return
    for pattern in "${patterns[@]}"; do
        for peer in "${peers[@]}"; do
            # A process each, as each reports its own peak of memory.
            add "round $round: $pattern, $peer" run_bench linux "$peer" "${pattern//\//-}" "$round" "^pattern/$pattern(/|\$)"
        done
    done
    for heap in engine engine-flat; do
        add "round $round: patterns, $heap" run_bench linux none "patterns-$heap" "$round" "^pattern/.*/$heap(/|\$)"
    done
}

plan_windows() {
    local round=$1 heap these
    add "round $round: Windows" run_bench wine none vm "$round" "$windows_set"
    for heap in "${windows_heaps[@]}"; do
        these=${windows_patterns//HEAP/$heap}
        # With 8 threads a run on a heap with one lock takes half a minute: one of the three is enough.
        case $full$heap in yesengine* | yesmimalloc | yesprocess-heap) these+="|larson/$heap/8" ;; esac
        add "round $round: Windows, patterns, $heap" run_bench wine none "patterns-$heap" "$round" "^pattern/($these)(/|\$)"
        [ -z "$full" ] || add "round $round: Windows, latency, $heap" \
            run_bench wine none "latency-$heap" "$round" "^latency/(alloc|free)/$heap/"
    done
    [ -z "$full" ] || add "round $round: Windows, footprint" run_windows_memory "$round"
}

plan_round() {
    local round=$1 trace memory
    ! wants vm || add "round $round: virtual memory" run_bench linux none vm "$round" "$vm_set"
    ! wants windows || plan_windows "$round"
    plan_malloc "$round"
    for trace in "${traces[@]}"; do
        wants traces || break
        for memory in engine raw; do
            add "round $round: ${trace##*/}, $memory" run_replay linux $memory "$trace" "$round"
            [ -z "$full" ] || ! wants windows ||
                add "round $round: ${trace##*/} under Wine, $memory" run_replay wine $memory "$trace" "$round"
        done
    done
    if wants clr && [ -n "$clr_runtime" ]; then
        add "round $round: a .NET program" run_clr workstation "$round"
        [ -z "$full" ] || add "round $round: a .NET program, server GC" run_clr server "$round" --server-gc
    fi
    ! wants memory || add "round $round: memory that stays" run_memory "$round"
}
