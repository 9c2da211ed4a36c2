#!/usr/bin/env bash
# All set-up in one call. usage: setup.sh build|windows|clr|hosts|test ...   (run from the top level; quiet when nothing is to do)
#
#   build    compilers, Concurrency Kit, mimalloc's source
#   windows  the cross compiler, Concurrency Kit's headers for it, Wine and its prefix
#   clr      npm, the C# compiler, the CLR
#   hosts    Windows programs to run under hostmem-run, and their jobs
#   test     clang, checkers
set -eu
here=${0%/*}
bash "$here/packages.sh" "$@"
for part in "$@"; do
    case $part in
    build) bash "$here/mimalloc.sh" ;;
    windows)
        bash "$here/ck.sh"
        bash "$here/wine-prefix.sh"
        ;;
    clr) bash "$here/clr.sh" ;;
    hosts) bash "$here/hosts.sh" ;;
    esac
done
