#!/usr/bin/env bash
# What the built libraries offer and ask for: exactly the functions that the public headers declare, nothing else global, and
# no library beside them but the system's own.
set -u
cd "${0%/*}/../.." || exit 1
. tests/common/check.sh

declared() {
    cat include/hostmem.h | tr '\n' ' ' | grep -oE 'HM_API [^;{]*;' | grep -oE 'Hm[A-Za-z0-9]+ *\(' | tr -d ' (' | sort -u
}

# The names in a DLL's export table.
exports() {
    x86_64-w64-mingw32-objdump -p "$1" |
        awk '/^\[Ordinal\/Name Pointer\] Table/ { inside = 1; next }
            inside && /^$/ { exit }
            inside && /\[/ { print $NF }' | sort -u
}

globals() {
    "$1" -g --defined-only "$2" | awk 'NF == 3 { print $3 }' | sort -u
}

built build/linux/{libhostmem.so,libhostmem.a,libhostmem-malloc.so} build/windows/{hostmem.dll,libhostmem.a,hostmem-redirect.dll}

names=$(declared)
check "the public headers declare something" [ -n "$names" ]
found=$(nm -D --defined-only build/linux/libhostmem.so | awk '{ print $NF }' | sort -u)
equal "dynamic symbols of libhostmem.so" "$found" "$names"
equal "global symbols of libhostmem.a" "$(globals nm build/linux/libhostmem.a)" "$names"
equal "exports of hostmem.dll" "$(exports build/windows/hostmem.dll)" "$names"
equal "global symbols of the Windows libhostmem.a" "$(globals x86_64-w64-mingw32-nm build/windows/libhostmem.a)" "$names"

names=$(tr '\n' ' ' <include/hostmem_redirect.h | grep -oE 'HM_REDIRECT_API [^;{]*;' | grep -oE 'Hm[A-Za-z0-9]+ *\(' |
    tr -d ' (' | sort -u)
equal "exports of hostmem-redirect.dll" "$(exports build/windows/hostmem-redirect.dll)" "$names"

needed=$(objdump -p build/linux/libhostmem.so | awk '$1 == "NEEDED" { print $2 }' |
    grep -vE '^(libc|libpthread|ld-linux-x86-64)\.so')
equal "libraries that libhostmem.so needs" "$needed" ""
# Threads that end call it, and its own thread runs in it: it must stay, and not be bound by that thread.
found=$(readelf -dW build/linux/libhostmem.so | grep -oE 'BIND_NOW|NODELETE|TEXTREL' | sort)
equal 'binding of libhostmem.so' "$found" "$(printf 'BIND_NOW\nNODELETE')"
# The drop-in: the allocation functions of C and C++, dlopen for modules that would not find them, and prctl; bound at once,
# with no library but the C library, and with thread-local words that need no call to be found.
malloc_names='aligned_alloc calloc dlopen prctl free free_aligned_sized free_sized mallinfo mallinfo2 malloc malloc_info
    malloc_stats malloc_trim malloc_usable_size mallopt memalign posix_memalign pvalloc realloc reallocarray valloc
    __libc_malloc __libc_calloc __libc_realloc __libc_free __libc_memalign __libc_valloc __libc_pvalloc'
for form in '' RKSt9nothrow_t St11align_val_t St11align_val_tRKSt9nothrow_t; do
    malloc_names="$malloc_names _Znwm$form _Znam$form _ZdlPv$form _ZdaPv$form"
done
malloc_names="$malloc_names _ZdlPvm _ZdaPvm _ZdlPvmSt11align_val_t _ZdaPvmSt11align_val_t"
found=$(nm -D --defined-only build/linux/libhostmem-malloc.so | awk '{ print $NF }' | sort -u)
equal "dynamic symbols of libhostmem-malloc.so" "$found" "$(printf '%s\n' $malloc_names | sort -u)"
needed=$(objdump -p build/linux/libhostmem-malloc.so | awk '$1 == "NEEDED" { print $2 }' |
    grep -vE '^(libc|libpthread|ld-linux-x86-64)\.so')
equal "libraries that libhostmem-malloc.so needs" "$needed" ""
found=$(nm -D --undefined-only build/linux/libhostmem-malloc.so | grep -oE '__tls_get_addr|_?mi_[a-z_]*|Hm[A-Z][A-Za-z]*')
equal "what libhostmem-malloc.so must not ask for" "$found" ""
equal 'binding of libhostmem-malloc.so' "$(readelf -dW build/linux/libhostmem-malloc.so | grep -oE 'BIND_NOW|TEXTREL')" 'BIND_NOW'
# Collectors that do not know what points to their blocks look through all such memory, each time.
found=$(size -A build/linux/libhostmem-malloc.so |
    awk '$1 ~ /^\.(data|bss)$/ { sum += $2 } END { print (sum < 2000000 ? "few" : sum) }')
equal 'static bytes of libhostmem-malloc.so that can be written' "$found" 'few'
needed=$(x86_64-w64-mingw32-objdump -p build/windows/hostmem.dll | awk '/DLL Name:/ { print tolower($3) }' |
    grep -vxE '(kernel32|advapi32|msvcrt|bcrypt|psapi|ntdll)\.dll')
equal "libraries that hostmem.dll needs" "$needed" ""
# Each served program loads what this one names: the two that every process has, and no C runtime.
needed=$(x86_64-w64-mingw32-objdump -p build/windows/hostmem-redirect.dll | awk '/DLL Name:/ { print tolower($3) }' |
    grep -vxE '(kernel32|ntdll)\.dll')
equal "libraries that hostmem-redirect.dll needs" "$needed" ""

check_done
