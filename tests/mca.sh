#!/bin/sh
# How far the micro-kernels' inner loops are from the limit of FMAs, by llvm-mca's models of CPUs (tests/mca.py says which loops and
# floors, README.md how to read the table). It needs no such CPU, and knows no cache.
#
#   tests/mca.sh [BUILD [CROSS [--all]]]    BUILD default build, CROSS a prefix such as aarch64-linux-gnu-; --all lists, without floors,
#                                           every inner loop with FMAs of every kernel as well
set -eu

build=${1:-build}
objdump=${2:-}objdump
all=${3:-}
failed=0
checked=0

llvm_mca=$(command -v llvm-mca || find /usr/lib/llvm-*/bin -name llvm-mca 2>/dev/null | sort -V | tail -n 1)
[ -n "$llvm_mca" ] || { echo "mca.sh: there is no llvm-mca: install the package llvm" >&2; exit 2; }
command -v python3 >/dev/null || { echo "mca.sh: there is no python3: install the package python3" >&2; exit 2; }

for isa in avx2 avx512 neon; do
    object=$build/$isa/simd/$isa/brgemm.o
    [ -e "$object" ] || continue
    checked=$((checked + 1))
    [ $checked -gt 1 ] || printf '| loop | FMAs | accumulators | cycles, share of the bound | FMAs of all instructions | stack | |\n'
    "$objdump" -d --no-show-raw-insn "$object" | awk -f tests/loops.awk | python3 tests/mca.py $isa "$llvm_mca" $all || failed=1
    [ -z "$all" ] || "$objdump" -d --no-show-raw-insn "$build/$isa/simd/shared"/*.o | awk -f tests/loops.awk |
        python3 tests/mca.py $isa "$llvm_mca" $all || failed=1
done
[ $checked -gt 0 ] || { echo "mca.sh: no micro-kernels in $build: make first" >&2; exit 2; }
exit $failed
