#!/usr/bin/env bash
# Makes the report, one HTML file that needs nothing else, from a record of figures; and pictures of its plots.
#
# usage: bench/report/make.sh [--ours NAME] [--png DIR] --out FILE RECORD
#
#   --ours NAME   whose malloc is judged (hostmem)
#   --png DIR     also draws the main plots as DIR/*.png, light and dark, with headless Chromium
#   --out FILE    the report
set -u
cd "${0%/*}/../.." || exit 1

fail() {
    echo "make.sh: $1" >&2
    exit "${2:-1}"
}

ours=hostmem out='' png='' record=''
while [ $# -gt 0 ]; do
    case $1 in
    --help) sed -n '2,/^set/{s/^# \{0,1\}//;/^set/!p}' "$0"; exit 0 ;;
    --ours | --out | --png) [ $# -ge 2 ] || fail "$1 needs a value" 2 ;;&
    --ours) ours=$2; shift ;;
    --out) out=$2; shift ;;
    --png) png=$2; shift ;;
    -*) fail "unknown option '$1' (--help)" 2 ;;
    *) [ -z "$record" ] || fail "one RECORD only; '$1' is too many" 2; record=$1 ;;
    esac
    shift
done
[ -n "$record" ] && [ -n "$out" ] || fail "RECORD and --out are needed (--help)" 2
[ -r "$record" ] || fail "no record: '$record' cannot be read"

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
build/linux/hostmem-bench-table --json --ours "$ours" "$record" >"$work/table" || fail "the table cannot be made from '$record'"

# Pictures of a region, from traces that use one as most hosts do.
pictures() {
    local trace separator='['
    for trace in clr20-windows go-esbuild v8-node14 clr22-compiler-heap; do
        build/linux/hostmem-replay --no-check --json --picture "$work/picture" perf/traces/$trace.txt* >/dev/null || continue
        printf '%s\n' "$separator"
        cat "$work/picture"
        separator=,
    done
    [ "$separator" = , ] || echo '['
    echo ']'
}
pictures >"$work/pictures"

awk -v style=bench/report/style.css -v script=bench/report/report.js -v record="$record" -v table="$work/table" \
    -v pictures="$work/pictures" '
    function paste(file, line) { while ((getline line < file) > 0) print line; close(file) }
    /^@STYLE@$/ { paste(style); next }
    /^@SCRIPT@$/ { paste(script); next }
    match($0, /@(RECORD|TABLE|PICTURES)@/) {
        print substr($0, 1, RSTART - 1)
        name = substr($0, RSTART + 1, RLENGTH - 2)
        paste(name == "RECORD" ? record : name == "TABLE" ? table : pictures)
        print substr($0, RSTART + RLENGTH)
        next
    }
    { print }' bench/report/page.html >"$out" || fail "'$out' cannot be written: $(df -h "${out%/*}" 2>/dev/null | tail -n 1)"
[ -n "$png" ] || exit 0

chromium=$(command -v chromium || command -v chromium-browser) || fail "no chromium: src/setup/packages.sh report installs it"
mkdir -p "$png" || exit 1
# shoot NAME SECTION WIDTH HEIGHT: light, and dark with the media feature that asks for it.
shoot() {
    local theme dark
    for theme in light dark; do
        dark=
        [ $theme = light ] || dark=--blink-settings=preferredColorScheme=0
        timeout 60 "$chromium" --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$work/browser" $dark \
            --force-device-scale-factor=2 --window-size="$3,$4" --screenshot="$png/$1-$theme.png" \
            "file://$(realpath "$out")#only=$2" >"$work/said" 2>&1 && [ -s "$png/$1-$theme.png" ] ||
            { cat "$work/said" >&2; fail "chromium did not draw $1-$theme.png"; }
    done
}
shoot ratios ratios,2 1100 356
shoot latency latency,3 1100 390
shoot resident resident 660 500
shoot granules granules,2 1100 500
