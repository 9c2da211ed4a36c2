#!/usr/bin/env bash
# Runs a Windows program in the project's Wine prefix. usage: wine.sh program.exe [argument ...]
#
# Standard input is /dev/null when it is a pipe, which some programs cannot use under Wine. The Wine server is kept for a
# minute after the last program: starting it anew costs each program most of a second.
set -eu
. "${0%/*}/lib.sh"
. "${0%/*}/wine-env.sh"

[ $# -ge 1 ] || die "usage: wine.sh program.exe [argument ...]"
[ -e "$1" ] || die "wine.sh: no such program: $1"
[ -e "$WINEPREFIX/.done" ] || die "wine.sh: the Wine prefix is not there yet; make test or src/setup/wine-prefix.sh makes it"
wineserver -p60 >/dev/null 2>&1 </dev/null || true
[ ! -p /dev/stdin ] || exec </dev/null
exec wine "$@"
