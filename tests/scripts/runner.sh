#!/usr/bin/env bash
# The scripts that run others for long end with all that they have started when they are interrupted, tell the time in any locale,
# and do not say that all is well where nothing was run.
set -u
cd "${0%/*}/../.." || exit 1
. tests/common/check.sh

# A project that has one suite, nothing to build, and programs that say their number and sleep.
project=$work/project
linux=$project/build/linux
mkdir -p "$project/tests/scripts" "$project/src/tools" "$linux" "$project/windows" "$project/cache"
cp tests/run.sh "$project/tests"
cp -r bench src/setup "$project"
mv "$project/setup" "$project/src"
cp -r src/tools/run "$project/src/tools"
printf '%%:\n\t@:\n' >"$project/Makefile"
for program in "$linux/hostmem-bench" "$linux/hostmem-bench-table" "$linux/hostmem-measure" "$project/tests/scripts/one.sh"; do
    printf '#!/bin/sh\necho $$ >"%s/started"\nexec sleep 60\n' "$work" >"$program"
    chmod +x "$program"
done
framework=$project/cache/dotnet-2.0.0-win-1.0.5/shared/Microsoft.NETCore.App/2.0.0
mkdir -p "$framework"
touch "$project/windows/hostmem-run.exe" "$project/windows/hostmem-redirect.dll" "$framework/coreclr.dll"

# interrupted SIGNAL STATUS COMMAND...: the command gets the signal, as its whole group does from a terminal, when $work/started
# is there; it ends within two seconds.
interrupted() {
    rm -f "$work/started"
    python3 - "$work/started" "$@" <<'END'
import os, signal, subprocess, sys, time
started, number, status, command = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
process = subprocess.Popen(command, start_new_session=True)
for _ in range(200):
    if os.path.exists(started): break
    time.sleep(0.1)
else: sys.exit("it did not begin")
os.killpg(process.pid, number)
try: got = process.wait(2)
except subprocess.TimeoutExpired:
    os.killpg(process.pid, signal.SIGKILL)
    sys.exit("it goes on")
if got != status: sys.exit(f"it ended with {got}")
END
}

# gone: the process whose number is in $work/started ends.
gone() {
    local i
    for i in {1..30}; do
        [ -e "/proc/$(cat "$work/started")" ] || return 0
        sleep 0.1
    done
    kill "$(cat "$work/started")"
    return 1
}

for signal in 2 15; do
    check "tests/run.sh ends by signal $signal" interrupted $signal $((128 + signal)) \
        env ONLY=scripts/one bash "$project/tests/run.sh"
    check "... and so does what it runs" gone
    check "bench/run.sh ends by signal $signal" interrupted $signal $((128 + signal)) \
        bash "$project/bench/run.sh" --only vm --out "$work/bench"
    check "... and so does what it runs" gone
    check "src/tools/run/run.sh ends by signal $signal" interrupted $signal $((128 + signal)) \
        env ONLY=node bash "$project/src/tools/run/run.sh" "$project/windows" "$linux" "$project/cache"
    check "... and so does what it runs" gone
done

# ---- The time -----------------------------------------------------------------------------------------------------

# A locale whose numbers have a comma; without the sources of locales, C has to do.
mkdir "$work/locales"
localedef -i de_DE -f UTF-8 "$work/locales/comma.UTF-8" 2>/dev/null || echo 'no sources of locales: their commas are not tried'
comma() { env LOCPATH="$work/locales" LC_ALL=comma.UTF-8 "$@"; }
printf 'sleep 1.1; echo 1 passed, 0 failed\n' >"$project/tests/scripts/one.sh"
comma env ONLY=scripts/one bash "$project/tests/run.sh" >"$work/out" 2>&1
check 'tests/run.sh tells how long a suite took' grep -qE '^scripts/one.sh .* 1 passed .* 1\.[1-9] s' "$work/out"

# ---- Nothing to run -----------------------------------------------------------------------------------------------

expect 'no program of that name' 2 "ONLY=no-such" env ONLY=no-such \
    bash "$project/src/tools/run/run.sh" "$project/windows" "$linux" "$project/cache"
for runs in 0 many; do
    expect "RUNS=$runs" 2 "RUNS=$runs" env ONLY=node RUNS=$runs \
        bash "$project/src/tools/run/run.sh" "$project/windows" "$linux" "$project/cache"
done

check_done
