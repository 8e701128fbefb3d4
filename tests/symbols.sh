#!/bin/sh
# What the objects of a build may define and call: the rules that keep every ISA's results the same, and the library quiet.
#
#   tests/symbols.sh [BUILD [CROSS]]        BUILD default build, CROSS a prefix such as aarch64-linux-gnu-
#
# - No libm outside src/cli but fma, sqrt and floor: glibc's others round differently on different CPUs.
# - Nothing outside src/cli prints, exits or aborts.
# - What is compiled for an ISA defines only names that end in it: the linker may pick any of two equal names, and would
#   run AVX-512 code on a machine without it.
# - Threads are src/base/par.c's alone, but for the one that reads files ahead and computes nothing.
set -eu

build=${1:-build}
nm=${2:-}nm
failed=0
list=$(mktemp)
trap 'rm -f "$list"' EXIT

# "object symbol" a line.
undefined() { find "$@" -name '*.o' -exec "$nm" -A --undefined-only {} + 2>/dev/null | sed 's/^\(.*\): *[UwvV] /\1 /; s/@.*//'; }

forbid() { # what, pattern of whole names; reads $list
    if bad=$(grep -E " ($2)\$" "$list"); then
        printf '%s:\n%s\n' "$1" "$bad" | sed '2,$s/^/    /'
        failed=1
    fi
}

library=$(find "$build" -path "$build/src/cli" -prune -o -path "$build/cxx" -prune -o -path "$build/ci" -prune -o -path "$build/fuzz" -prune -o -path "$build/tests" -prune -o -name '*.o' -print)
[ -n "$library" ] || { echo "symbols.sh: no objects in $build: make first" >&2; exit 2; }

# shellcheck disable=SC2086 # names of objects have no spaces
undefined $library >"$list"
forbid "libm is not the same on every CPU; use base/fmath.h or vec_math.h" \
    '(a?(cos|sin|tan)h?(pi)?|atan2|sincos|exp|exp2|exp10|expm1|pow|pow10|log|log2|log10|log1p|logb|cbrt|hypot|erfc?|[lt]gamma|lgamma_r|j[01n]|y[01n]|fmod|remainder|remquo|drem|rsqrt|__[a-z0-9]+_finite|_ZGV.*)[fl]?'
forbid "only src/cli prints" \
    'v?printf|puts|putchar|perror|psignal|stdout|stderr|__v?printf_chk|fputs_stderr|v?dprintf|(v?warnx?|v?errx?)'
forbid "only src/cli may end the program" \
    'exit|_exit|_Exit|quick_exit|abort|raise|__assert_fail|longjmp|__longjmp_chk|kill|pthread_exit'
grep -vE '/src/(base/par|data/prefetch)\.o ' "$list" >"$list.rest" || true
mv "$list.rest" "$list"
forbid "threads belong to src/base/par.c" '(GOMP|omp|__kmpc|kmp)_.*|pthread_create|thrd_create|fork|vfork'

for isa in scalar avx2 avx512 neon; do
    [ -d "$build/$isa" ] || continue
    find "$build/$isa" -name '*.o' -exec "$nm" -A --defined-only --extern-only {} + |
        awk -v isa="$isa" '{ sub(/:.*/, "", $1); if ($NF !~ "_" isa "$") print $1, $NF }' >"$list"
    forbid "compiled for $isa, so the name must end in _$isa" '.*'
done

[ $failed = 0 ] && echo "symbols: $(echo "$library" | wc -l) objects keep the rules"
exit $failed
