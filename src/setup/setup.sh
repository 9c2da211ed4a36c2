#!/usr/bin/env bash
# All set-up in one call. usage: setup.sh build|windows|clr|test ...   (run from the top level; quiet when nothing is to do)
#
#   build    compilers, Concurrency Kit, mimalloc's source
#   windows  the cross compiler, Concurrency Kit's headers for it, Wine and its prefix
#   clr      npm, the C# compiler, the CLR
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
    esac
done
