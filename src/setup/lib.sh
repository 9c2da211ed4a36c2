# Shared by the set-up scripts: messages, the cache folder, checksums, one lock.
#
# Every script runs from the project's top level, does nothing and says nothing when its work is already done, and leaves
# either a finished result or none: a result is made under another name and renamed last.

HM_CACHE=${HM_CACHE:-.cache}
HM_BUILD=${HM_BUILD:-build}

say() {
    printf 'set-up: %s\n' "$*" >&2
}

die() {
    say "$@"
    exit 1
}

# Holds the set-up lock until the script ends, so that two builds started at once do not make the same thing twice.
lock_setup() {
    mkdir -p "$HM_CACHE"
    exec 9>"$HM_CACHE/.lock"
    flock 9
}

# check_sha256 FILE SUM WHAT: deletes the file and ends the script where the sum differs.
check_sha256() {
    local found
    found=$(sha256sum "$1" | cut -d' ' -f1)
    if [ "$found" != "$2" ]; then
        rm -f "$1"
        die "$3: checksum mismatch: expected sha256 $2, got $found; the download was deleted"
    fi
}
