#!/usr/bin/env bash
# Installs the Debian packages that the named groups need, and only those that are missing.
# usage: packages.sh build|windows|clr|hosts|bench|peers|report|test ...
set -eu
. "${0%/*}/lib.sh"

# The list holds package names; an entry "command:name" stands for the package of that name unless the command is there
# already, since some machines have it from elsewhere.
packages_of() {
    case $1 in
    build) echo gcc libc6-dev binutils make libck-dev dpkg-dev xz-utils ca-certificates ;;
    windows) echo gcc-mingw-w64-x86-64 g++-mingw-w64-x86-64 wine64 wine ;;
    clr) echo mono-mcs libunwind8 libuuid1 libstdc++6 command:npm ca-certificates ;;
    hosts) echo mono-mcs command:npm ca-certificates ;;
    bench) echo g++ libbenchmark-dev ;;
    report) echo chromium fonts-dejavu-core ;;
    peers) echo libmimalloc2.0 libjemalloc2 libtcmalloc-minimal4 valgrind strace ;;
    test)
        echo clang lld libclang-rt-14-dev llvm-14 pkg-config libbenchmark-dev valgrind strace
        # Programs that run on the malloc drop-in. (redis-tools has the server's program, too.)
        echo libstdc++6 git perl python3 python3.11 libpython3.11-testsuite redis-tools sqlite3 stress-ng
        ;;
    *) die "packages.sh: unknown group '$1' (build, windows, clr, hosts, bench, peers, report, test)" ;;
    esac
}

wanted=
for group in "$@"; do
    wanted="$wanted $(packages_of "$group")" || exit 1
done

# One query for all of them: a package that is installed prints "name ok installed".
missing=
names=
for package in $wanted; do
    case $package in
    command:*) command -v "${package#command:}" >/dev/null || missing="$missing ${package#command:}" ;;
    *) names="$names $package" ;;
    esac
done
if ! command -v dpkg-query >/dev/null; then
    die "this needs Debian 12: dpkg-query is not there"
fi
installed=" $(dpkg-query -W -f '${Package}=${db:Status-Status} ' $names 2>/dev/null || true)"
for package in $names; do
    case $installed in
    *" $package=installed "*) ;;
    *) case " $missing " in *" $package "*) ;; *) missing="$missing $package" ;; esac ;;
    esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    as_root=sudo
else
    die "these Debian packages are missing, and this user is neither root nor able to use sudo:$missing
Have them installed with: apt-get install --no-install-recommends$missing"
fi

lock_setup
log=$HM_CACHE/packages.log
say "installing$missing"
run_apt() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=300 "$@" >>"$log" 2>&1 </dev/null
}
: >"$log"
if ! { run_apt update && run_apt install --no-install-recommends $missing; }; then
    tail -n 20 "$log" >&2
    die "apt-get failed; the whole output is in $log"
fi
