#!/usr/bin/env bash
# A build on a fresh machine: no command of the Makefile's starts before the set-up has brought what it needs. Make is run with
# a shell that does nothing but note what it was given, and in which the set-up takes a while. And a set-up that fails leaves
# nothing half done.
set -u
cd "${0%/*}/../.." || exit 1
. tests/common/check.sh

# What make asks while it reads the Makefile is answered.
cat >"$work/shell" <<END
#!/bin/sh
case \$2 in
*src/setup/*) sleep 1; echo 'set up' >>"$work/log" ;;
nproc | find* | *-print-*) exec /bin/sh -c "\$2" ;;
*) printf '%s\n' "\$2" | head -n 1 >>"$work/log" ;;
esac
END
chmod +x "$work/shell"

for system in linux windows; do
    : >"$work/log"
    check "$system: make plays its commands" env -u MAKEFLAGS -u MAKELEVEL make --always-make -j8 SHELL="$work/shell" \
        HM_SETUP_DONE= OS=$system all tests bench-programs run
    equal "$system: commands that start before the set-up has ended" "$(sed '/^set up$/,$d' "$work/log" | head -n 20)" ''
    check "$system: hundreds start after it" [ "$(sed '0,/^set up$/d' "$work/log" | wc -l)" -gt 300 ]
done

# A package that cannot be unpacked: npm has fetched a file that is none.
mkdir "$work/bin" "$work/cache"
cat >"$work/bin/npm" <<'END'
#!/bin/sh
while [ "$1" != --pack-destination ]; do shift; done
echo none >"$2/thing-1.tgz"
echo thing-1.tgz
END
chmod +x "$work/bin/npm"
expect 'a package that is no archive' 1 'thing@1 cannot be unpacked' env PATH="$work/bin:$PATH" HM_CACHE="$work/cache" \
    bash src/setup/npm.sh thing 1 "$(echo none | sha256sum | cut -d' ' -f1)"
equal 'what it leaves in the cache' "$(ls "$work/cache")" thing-1.tgz

# A disk that fills up while headers are copied.
printf '#!/bin/sh\nexit 1\n' >"$work/bin/cp"
chmod +x "$work/bin/cp"
expect 'headers that cannot be copied' 1 '' env PATH="$work/bin:$PATH" HM_CACHE="$work/cache" HM_BUILD="$work/build" \
    bash src/setup/ck.sh
equal 'what it leaves' "$(ls "$work/build")" ''

# A Wine that hangs: what it has started ends with the attempt.
for program in wine wineserver; do
    printf '#!/bin/sh\necho "$0 $*" >>"%s/calls"\nexit 1\n' "$work" >"$work/bin/$program"
    chmod +x "$work/bin/$program"
done
expect 'a Wine that cannot make a prefix' 1 'Wine could not make a prefix' env PATH="$work/bin:$PATH" HM_CACHE="$work/cache" \
    bash src/setup/wine-prefix.sh
check 'what Wine has started is ended' grep -q 'wineserver -k$' "$work/calls"

check_done
