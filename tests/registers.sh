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
    "$objdump" -d --no-show-raw-insn "$object" | awk -f tests/loops.awk | awk -v object="$object" '
        function close_loop() {
            if (fmas > 0) {
                loops++
                if (vectors > 0 || integers * 4 > fmas) {
                    printf "%s: %s: a loop of %d FMAs at %s touches the stack: %d vectors, %d integers\n", object, name, fmas, at,
                        vectors, integers
                    bad = 1
                }
            }
            fmas = vectors = integers = 0
        }
        /^loop / { close_loop(); name = $2; at = $3; next }
        {
            fmas += /vfn?m(add|sub)[0-9]*ps|fml[as]\t/
            if (!/\(%rsp|\[sp/)
                next
            if (/%[xyz]mm|^(ldu?r|stu?r|ldp|stp|ld1|st1|ld1r)[ \t]+[{]?[qdsv][0-9]/)
                vectors++
            else
                integers++
        }
        END {
            close_loop()
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
