#!/bin/sh
# No spills in the micro-kernels: innermost loops with vector FMAs must not keep vectors on the stack, and of integers only
# a few row pointers. A compiler that runs out of registers there costs half the speed and says nothing.
#
#   tests/registers.sh [BUILD [CROSS]]      BUILD default build, CROSS a prefix such as aarch64-linux-gnu-
set -eu

build=${1:-build}
objdump=${2:-}objdump
failed=0
checked=0

for isa in avx2 avx512 neon; do
    object=$build/$isa/simd/$isa/brgemm.o
    [ -e "$object" ] || continue
    checked=$((checked + 1))
    "$objdump" -d --no-show-raw-insn "$object" | awk -v object="$object" '
        function hex(text,  i, n) {
            n = 0
            for (i = 1; i <= length(text); i++)
                n = n * 16 + index("0123456789abcdef", substr(text, i, 1)) - 1
            return n
        }
        # A loop is what a backward jump jumps over; it is innermost if no other backward jump lies within.
        function close_function(  j, k, i, fmas, vectors, integers, inner) {
            for (j = 1; j <= jumps; j++) {
                inner = 1
                for (k = 1; k <= jumps; k++)
                    if (k != j && from[k] >= to[j] && from[k] < from[j] && to[k] >= to[j])
                        inner = 0
                if (!inner)
                    continue
                fmas = vectors = integers = 0
                for (i = 1; i <= count; i++)
                    if (address[i] >= to[j] && address[i] <= from[j]) {
                        fmas += text[i] ~ /vfn?m(add|sub)[0-9]*ps|fml[as]\t/
                        if (text[i] !~ /\(%rsp|\[sp/)
                            continue
                        if (text[i] ~ /%[xyz]mm|^(ldu?r|stu?r|ldp|stp|ld1|st1|ld1r)[ \t]+[{]?[qdsv][0-9]/)
                            vectors++
                        else
                            integers++
                    }
                if (fmas > 0) {
                    loops++
                    if (vectors > 0 || integers * 4 > fmas) {
                        printf "%s: %s: a loop of %d FMAs at %x touches the stack: %d vectors, %d integers\n", object, name,
                            fmas, to[j], vectors, integers
                        bad = 1
                    }
                }
            }
            count = jumps = 0
        }
        /^[0-9a-f]+ <.*>:$/ { close_function(); name = $2; sub(":$", "", name); next }
        /^ *[0-9a-f]+:\t/ {
            split($0, part, /:\t/)
            gsub(/ /, "", part[1])
            address[++count] = hex(part[1])
            text[count] = part[2]
            if (match(part[2], /^(j[a-z]+|b|b\.[a-z]+|cbn?z|tbn?z)[ \t].*[0-9a-f]+ </)) {
                target = part[2]
                sub(/ <.*/, "", target)
                sub(/.*[ \t,]/, "", target)
                if (hex(target) < address[count]) {
                    from[++jumps] = address[count]
                    to[jumps] = hex(target)
                }
            }
        }
        END {
            close_function()
            if (!loops) {
                printf "%s: no loop with FMAs found\n", object
                bad = 1
            } else if (!bad)
                printf "%s: %d loops of FMAs keep their vectors in registers\n", object, loops
            exit bad
        }' || failed=1
done
[ $checked -gt 0 ] || { echo "registers.sh: no micro-kernels in $build: make first" >&2; exit 2; }
exit $failed
