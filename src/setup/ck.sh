#!/usr/bin/env bash
# Copies Concurrency Kit's headers to BUILD/ck-include, for the Windows cross compiler: the folder that Debian installs them
# in would bring the headers of Linux's C library with it.
set -eu
. "${0%/*}/lib.sh"

target=$HM_BUILD/ck-include
[ ! -e "$target/.done" ] || exit 0
lock_setup
[ ! -e "$target/.done" ] || exit 0
from=/usr/include
[ -e $from/ck_pr.h ] || die "Concurrency Kit's headers are not installed (package libck-dev)"
mkdir -p "$HM_BUILD"
work=$(mktemp -d "$HM_BUILD/ck.XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cp $from/ck_*.h "$work"
cp -r $from/gcc $from/spinlock "$work"
touch "$work/.done"
rm -rf "$target"
mv "$work" "$target"
