#!/usr/bin/env bash
# A build on a fresh machine: no command of the Makefile's starts before the set-up has brought what it needs. Make is run with
# a shell that does nothing but note what it was given, and in which the set-up takes a while.
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

check_done
