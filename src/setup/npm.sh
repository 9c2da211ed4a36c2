#!/usr/bin/env bash
# Fetches one package from npm into the cache, checks it and unpacks it to CACHE/NAME-VERSION.
# usage: npm.sh NAME VERSION SHA256
set -eu
. "${0%/*}/lib.sh"

fetch_npm() {
    local name=$1 version=$2 sum=$3
    local target tarball packed
    target=$HM_CACHE/$(printf '%s' "$name" | tr -d @ | tr / -)-$version
    tarball=$target.tgz
    [ ! -e "$target/.done" ] || return 0
    lock_setup
    [ ! -e "$target/.done" ] || return 0
    work=$(mktemp -d "$HM_CACHE/npm.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    if [ ! -e "$tarball" ]; then
        say "fetching $name $version"
        # No install scripts run: the package is only files.
        if ! packed=$(npm pack --ignore-scripts --loglevel=error --pack-destination "$work" "$name@$version" 2>"$work/log"); then
            cat "$work/log" >&2
            die "npm could not fetch $name@$version"
        fi
        mv "$work/$(printf '%s\n' "$packed" | tail -n 1 | tr -d @ | tr / -)" "$tarball"
    fi
    check_sha256 "$tarball" "$sum" "$name@$version"
    tar -xzf "$tarball" -C "$work" || die "$name@$version cannot be unpacked"
    rm -rf "$target"
    # npm puts everything below a folder of its own, by custom named package.
    mv "$work/package" "$target"
    touch "$target/.done"
}

[ $# = 3 ] || die "usage: npm.sh NAME VERSION SHA256"
fetch_npm "$1" "$2" "$3"
