#!/usr/bin/env bash
# Rewrites the README's figures from a recorded run, and draws its plots: what stands between the two marks "figures".
#
# usage: perf/readme.sh [RECORD]     RECORD: a file of perf/results (the newest)
set -eu
cd "${0%/*}/.."

fail() {
    echo "readme.sh: $1" >&2
    exit 1
}

record=${1:-$(find perf/results -name '*.json' 2>/dev/null | awk -F/ '{ name = $NF; sub(/\.json$/, "", name); print name "\t" $0 }' | sort -V | tail -n 1 | cut -f 2)}
[ -n "$record" ] || fail "no recorded run in perf/results: perf/record.sh keeps one"
[ -r "$record" ] || fail "'$record' cannot be read"
grep -q '^<!-- figures: begin' README.md && grep -q '^<!-- figures: end' README.md || fail "README.md has no marks for the figures"
plots=perf/results/plots
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bash bench/report/make.sh --png "$work/plots" --out "$work/report.html" "$record"

plot() { # plot NAME TEXT
    echo
    echo "<picture><source media=\"(prefers-color-scheme: dark)\" srcset=\"$plots/$1-dark.png\">"
    echo "<img alt=\"$2\" src=\"$plots/$1-light.png\"></picture>"
}
{
    build/linux/hostmem-bench-table --markdown "$record" || fail "no table can be made from '$record'"
    plot ratios "Bars: how many times better hostmem is than the raw calls, row by row"
    plot latency "Curves: how long requests take, from the median to one in ten thousand"
    echo
    echo "(Made by \`make readme-figures\` from \`$record\`.)"
} >"$work/figures"
awk -v figures="$work/figures" '
    /^<!-- figures: begin/ { print; while ((getline line < figures) > 0) print line; inside = 1; next }
    /^<!-- figures: end/ { inside = 0 }
    !inside { print }' README.md >"$work/README.md"
mkdir -p $plots
cp "$work"/plots/*.png $plots/
cp "$work/README.md" README.md
echo "README.md: figures of $record"
