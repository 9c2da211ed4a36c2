#!/usr/bin/env bash
# The form of the source: bounds on functions, files and lines, an opening comment, short statements on their conditions' lines,
# no tabs or trailing blanks, nothing that belongs to one machine or was left for later. One check a file.
set -u
cd "${0%/*}/../.." || exit 1
. tests/common/check.sh

function_limit=60
file_limit=450
column_limit=130

judge_c() {
    awk -v file="$1" -v function_limit=$function_limit -v file_limit=$file_limit -v column_limit=$column_limit '
    function refuse(line, why) { printf "%s:%d: %s\n", file, line, why }
    function plain(text) { return text ~ /;$/ && text !~ /^ *(if|for|while|do|switch|else) |\/[*\/]/ }
    FNR == 1 && file ~ /\.c$/ && !/^\/\*/ { refuse(1, "does not open with a comment") }
    /\t/ { refuse(FNR, "a tab") }
    # A body opens with a brace at the end of a line outside any other body, and closes with one in the first column.
    !start && /\{$/ && !/^[ \t]*(\/?\*|\/\/)/ && !/=/ && !/^(struct|enum|union|typedef|extern)/ { start = FNR }
    start && /^}/ {
        if (FNR - start + 1 > function_limit) refuse(start, "a function of " FNR - start + 1 " lines")
        start = 0
    }
    # A statement that fits on its condition line stands there.
    FNR == head + 2 && plain(body) && (braces ? /^ *}$/ : !/^ *else/) {
        sub(/^ */, "", body)
        if (length(condition) + 1 + length(body) <= column_limit) refuse(head, "what follows fits on this line")
    }
    FNR == head + 1 { body = $0 }
    /^ *(if|for|while) \(.*\)( \{)?$/ && gsub(/\(/, "(") == gsub(/\)/, ")") {
        head = FNR
        condition = $0
        braces = sub(/ \{$/, "", condition)
    }
    END { if (FNR > file_limit) refuse(FNR, "the file has " FNR " lines") }' "$1"
}

# The patterns are written so that they do not find themselves.
judge_any() {
    awk -v file="$1" -v column_limit=$column_limit '
    function refuse(why) { printf "%s:%d: %s\n", file, FNR, why }
    length($0) > column_limit { refuse("a line of " length($0) " columns") }
    /[ \t]$/ { refuse("blanks at the end of the line") }
    /(^|[^A-Za-z0-9_.})*])\/(home|root|work|Users)(\/|$|[^A-Za-z0-9_])/ { refuse("a path of one machine") }
    /(npmjs|debian)\.(org|com)/ { refuse("the name of a host") }
    /(^|[^A-Za-z])(TO[D]O|FIX[M]E|XX[X])([^A-Za-z]|$)/ { refuse("something left for later") }' "$1"
}

while read -r file; do
    found=$(judge_any "$file"; case $file in *.[ch]) judge_c "$file" ;; esac)
    equal "$file" "$found" ''
done < <(find src include tests bench .ci Makefile -type f \
    \( -name '*.[ch]' -o -name '*.cc' -o -name '*.cs' -o -name '*.sh' -o -name Makefile -o -path '.ci/*' \) | sort)

# What the environment sets is in the one table of it.
while read -r name; do
    check "$name is in README.md" grep -q "\`$name\`" README.md
done < <(grep -rhoE '"HOSTMEM_[A-Z_]+"' src --include='*.c' | tr -d '"' | sort -u)

check_done
