#!/usr/bin/env bash
# Makes the Wine prefix that the Windows builds are tested in, once: CACHE/wine, answering as Windows 10.
set -eu
. "${0%/*}/lib.sh"
. "${0%/*}/wine-env.sh"

stamp=$WINEPREFIX/.done
[ ! -e "$stamp" ] || exit 0
lock_setup
[ ! -e "$stamp" ] || exit 0
say "making a Wine prefix"
rm -rf "$WINEPREFIX"
log=$HM_CACHE/wine.log
# The lock is closed for Wine (9>&-): its server outlives this script and would hold it.
if ! { timeout 240 wine wineboot -i && timeout 60 wineserver -w && timeout 60 wine winecfg -v win10 &&
    timeout 60 wineserver -w; } >"$log" 2>&1 </dev/null 9>&-; then
    wineserver -k >>"$log" 2>&1 9>&- || true # what hangs in it
    tail -n 20 "$log" >&2
    die "Wine could not make a prefix; the whole output is in $log"
fi
touch "$stamp"
