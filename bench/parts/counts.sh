# Counts, which do not depend on the weather: instructions, system calls, locked instructions. Read by run.sh and counts.sh.
#
# Needs: program, runs, log, peers, file_of, ours, full, clr_runtime; warn and add.

# write_figure FILE NAME FIGURE VALUE [LIBRARY]: in the form that the table's reader knows.
write_figure() {
    local served=
    [ -z "${5-}" ] || served="  \"malloc_served_by\": \"$5\",\n"
    printf '{\n%b  "benchmarks": [{\n    "run_name": "%s",\n    "%s": %s\n  }]\n}\n' "$served" "$2" "$3" "$4" \
        >"$runs/$1.json" || warn "$runs/$1.json cannot be written"
}

# write_count PEER TOOL NAME FIGURE VALUE
write_count() {
    write_figure "linux.$1.$2-${3//\//-}.1" "$2/$3" "$4" "$5" "$(LD_PRELOAD="${file_of[$1]-}" $program --library)"
}

callgrind_total() {
    timeout 120 env LD_PRELOAD="${file_of[$1]-}" \
        valgrind --tool=callgrind --callgrind-out-file=/dev/null $program --once "$2" "$3" 2>&1 |
        tee -a "$log" | awk '/Collected/ { print $NF }'
}

count_callgrind() {
    local few many
    few=$(callgrind_total "$1" "$2" 100000) many=$(callgrind_total "$1" "$2" 300000)
    [ -n "$few" ] && [ -n "$many" ] || { warn "callgrind cannot count $2 of $1"; return; }
    write_count "$1" callgrind "$2" instructions "$(awk "BEGIN { print ($many - $few) / 200000 }")"
}

strace_total() {
    local file=$runs/strace.tmp
    timeout 120 strace -f -qq -c -o "$file" env LD_PRELOAD="${file_of[$1]-}" $program --once "$2" "$3" >>"$log" 2>&1 &&
        awk '$NF == "total" { print $4 }' "$file"
    rm -f "$file"
}

count_strace() {
    local few many
    few=$(strace_total "$1" "$2" "$3") many=$(strace_total "$1" "$2" $((3 * $3)))
    [ -n "$few" ] && [ -n "$many" ] || { warn "strace cannot count $2 of $1"; return; }
    write_count "$1" strace "$2" system_calls "$(awk "BEGIN { print ($many - $few) / (2 * $3) }")"
}

count_step() {
    local file=$runs/linux.$1.step-${2//\//-}.1.json
    timeout 120 env LD_PRELOAD="${file_of[$1]-}" $program --step "$2" "$3" >"$file" 2>>"$log" ||
        { warn "$2 of $1 cannot be stepped through"; rm -f "$file"; }
}

# Of a whole host, once on each memory.
count_clr() {
    local memory=$1 file=$runs/strace.tmp calls
    timeout 300 strace -f -qq -c -o "$file" build/linux/hostmem-clr --runtime "$clr_runtime" --memory "$memory" \
        build/linux/sample.dll >>"$log" 2>&1
    calls=$(awk '$NF == "total" { print $4 }' "$file" 2>/dev/null)
    rm -f "$file"
    [ -n "$calls" ] || { warn "strace cannot count the CLR's calls on $memory memory"; return; }
    write_figure linux.$memory.strace-clr.1 clr/workstation system_calls "$calls"
}

plan_counts() {
    local peer each name turns
    if command -v valgrind >/dev/null; then
        for peer in "${peers[@]}"; do
            add "counts: callgrind, $peer" count_callgrind "$peer" malloc/pair/libc/64
        done
    else
        warn "no valgrind: instructions are not counted"
    fi
    # PEER NAME, turns to step through, turns under strace; a turn of random is 1,000 pairs.
    for each in "$ours malloc/pair/libc/64 60 20000" "$ours malloc/random/libc/64 1 100" "none object/pair/engine/64 60 20000" \
        "none vm/untouched/engine/65536 20 2000" "none vm/touched/engine/65536 5 500" "none vm/query/engine 60 20000"; do
        read -r peer name turns each <<<"$each"
        [ "$peer" = none ] || [ -n "${file_of[$peer]-}" ] || continue
        add "counts: stepping through $name" count_step "$peer" "$name" "$turns"
        ! command -v strace >/dev/null || add "counts: strace, $name" count_strace "$peer" "$name" "$each"
    done
    if [ -n "$full" ] && [ -n "$clr_runtime" ] && command -v strace >/dev/null; then
        add "counts: strace, a CLR on the engine" count_clr engine
        add "counts: strace, a CLR on raw memory" count_clr raw
    fi
    command -v strace >/dev/null || warn "no strace: system calls are not counted"
}
