# What a script has started ends with it when a signal ends it: sourced by scripts that run others for long.
#
# A command under timeout has a process group of its own, which no Ctrl-C reaches; and bash heeds a signal only when what it has
# in its foreground has ended. So such a script waits for what runs in its background.

stop_files=$(mktemp -d) || exit 1 # a file for each timeout that runs, by its number
trap 'rm -rf "$stop_files"' EXIT

# The command of that name, but known to stop, even if the shell that has started it is gone.
timeout() {
    local process status=0
    command timeout "$@" &
    process=$!
    : >"$stop_files/$process"
    wait $process || status=$?
    rm -f "$stop_files/$process"
    return $status
}

# family PROCESS: it, all that it has started, and what these have.
family() {
    local child
    echo "$1"
    for child in $(cat "/proc/$1"/task/*/children 2>/dev/null); do
        family "$child"
    done
}

# stop SIGNAL-NUMBER
stop() {
    local process all=
    trap '' HUP INT TERM
    for process in "$stop_files"/*; do
        [ ! -e "$process" ] || all+=" $(family "${process##*/}")"
    done
    # shellcheck disable=SC2046,SC2086
    kill $all $(family $$ | tail -n +2) 2>/dev/null
    exit $((128 + $1))
}

trap 'stop 1' HUP
trap 'stop 2' INT
trap 'stop 15' TERM
