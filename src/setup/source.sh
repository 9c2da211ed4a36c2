#!/usr/bin/env bash
# Fetches a Debian source package's original tarball, checks it and unpacks it to CACHE/NAME-VERSION.
# usage: source.sh NAME VERSION TARBALL SHA256 PROOF      PROOF is a file that the unpacked source must hold
#
# The system's own package lists are left alone: a private list, with the archive's address taken from the system's, is used
# once and deleted.
set -eu
. "${0%/*}/lib.sh"

[ $# = 5 ] || die "usage: source.sh NAME VERSION TARBALL SHA256 PROOF"
name=$1 version=$2 tarball_name=$3 sum=$4 proof=$5
release=bookworm
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

target=$HM_CACHE/$name-$version
tarball=$HM_CACHE/$tarball_name
[ ! -e "$target/.done" ] || exit 0
lock_setup
[ ! -e "$target/.done" ] || exit 0

# The archive that this system installs its own Debian release from; security and update archives do not hold the source.
archive_uri() {
    apt-get indextargets --no-release-info --format '$(COMPONENT) $(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
        awk -v want="$release" '$1 == "main" && $2 !~ /-/ { if ($2 == want) { print $3; done = 1; exit } if (!any) any = $3 }
            END { if (!done && any) print any }'
}

fetch_source() {
    local work=$1 uri
    uri=$(archive_uri)
    [ -n "$uri" ] || die "no Debian archive is configured on this system (apt-get indextargets names none)"
    [ -e "$keyring" ] || die "the Debian archive's keyring is missing: $keyring (package debian-archive-keyring)"
    echo "deb-src [signed-by=$keyring] $uri $release main" >"$work/sources.list"
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/source"
    work=$(cd "$work" && pwd)
    set -- -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o Acquire::Languages=none
    [ "$(id -u)" != 0 ] || set -- "$@" -o APT::Sandbox::User=root
    apt-get "$@" update >"$work/log" 2>&1 &&
        (cd "$work/source" && apt-get "$@" source --download-only "$name") >>"$work/log" 2>&1 ||
        { cat "$work/log" >&2; return 1; }
}

work=$(mktemp -d "$HM_CACHE/$name.XXXXXX")
trap 'rm -rf "$work"' EXIT
if [ ! -e "$tarball" ]; then
    say "fetching the source of $name $version"
    fetch_source "$work" || die "apt-get could not fetch the source of $name $version"
    [ -e "$work/source/$tarball_name" ] || die "the Debian archive has no $tarball_name; it has: $(ls "$work/source")"
    mv "$work/source/$tarball_name" "$tarball"
fi
check_sha256 "$tarball" "$sum" "$tarball_name"
mkdir "$work/unpacked"
tar -xf "$tarball" -C "$work/unpacked" --strip-components=1
[ -e "$work/unpacked/$proof" ] || die "$tarball_name holds no $proof"
rm -rf "$target"
mv "$work/unpacked" "$target"
touch "$target/.done"
