#!/usr/bin/env bash
# The layers of the engine: no file includes anything of a layer above its own, only src/os includes the system's headers, only
# src/base/atom.h names an atomic operation. One check a file.
set -u
cd "${0%/*}/../.." || exit 1
. tests/common/check.sh

# Reads a file without its comments and prints a line for each include or word that it may not have.
judge() {
    awk -v file="$1" '
    BEGIN {
        count = split("base os core heap vm policy com api dropin", order, " ")
        for (i = 1; i <= count; i++) rank[order[i]] = i
        plain = " stdbool.h stddef.h stdint.h stdalign.h string.h assert.h limits.h immintrin.h cpuid.h "
        public = " hostmem.h hostmem_win32.h hostmem_clr.h hostmem_redirect.h "
        split(file, part, "/")
        layer = part[2]
        atom = file == "src/base/atom.h"
    }
    function refuse(why) { printf "%s:%d: %s\n", file, FNR, why }
    function judge_quoted(name, folder) {
        if (index(public, " " name " ")) return
        if (split(name, folder, "/") < 2) refuse("\"" name "\" does not say its layer")
        else if (layer == "tools") {
            if (folder[1] == "base") return
            if (folder[1] != "tools" || (folder[2] != part[3] && folder[2] != "common"))
                refuse("a tool includes \"" name "\": only public headers, base, tools/common and its own are for it")
        } else if (!(folder[1] in rank)) refuse("\"" name "\" is of no layer")
        else if (rank[folder[1]] > rank[layer]) refuse(layer " includes \"" name "\" of a layer above it")
    }
    function judge_system(name) {
        if (layer == "os" || layer == "tools" || layer == "dropin" || layer == "setup" || index(plain, " " name " ")) return
        if (atom && name == "ck_pr.h") return
        # The engine keeps its cold bookkeeping in mimalloc, behind one file; the caller counts them.
        if (name == "mimalloc.h") return
        refuse("<" name "> is a header of the system: only src/os, tools and drop-ins may include it")
    }
    {
        line = $0
        if (inside) {
            if (!match(line, /\*\//)) next
            line = substr(line, RSTART + 2)
            inside = 0
        }
        while (match(line, /\/\*/)) {
            head = substr(line, 1, RSTART - 1)
            rest = substr(line, RSTART + 2)
            if (match(rest, /\*\//)) line = head " " substr(rest, RSTART + 2)
            else { line = head; inside = 1 }
        }
        sub(/\/\/.*/, "", line)
    }
    line ~ /^[ \t]*#[ \t]*include/ {
        name = line
        if (sub(/^[^"<]*"/, "", name)) { sub(/".*/, "", name); judge_quoted(name) }
        else if (sub(/^[^"<]*</, "", name)) { sub(/>.*/, "", name); judge_system(name) }
        else refuse("an include that cannot be read")
        next
    }
    !atom && line ~ /__atomic_|__sync_|ck_pr_|(^|[^A-Za-z0-9_])_Atomic|_Interlocked|Interlocked[A-Z]/ {
        refuse("an atomic operation outside src/base/atom.h")
    }' "$1"
}

while read -r file; do
    equal "$file" "$(judge "$file")" ''
done < <(find src -name '*.[ch]' | sort)

users=$(grep -l '^#include <mimalloc.h>' -r src --include='*.[ch]' | sort)
check "mimalloc is used by one file: $users" [ "$(wc -w <<<"$users")" = 1 ]

check_done
