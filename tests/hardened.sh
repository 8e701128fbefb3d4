#!/bin/sh
# Was the program built so that a hole in it is hard to use? See HARDEN in the Makefile.
#
#   tests/hardened.sh [BUILD [CROSS]]      BUILD default build, CROSS a prefix such as aarch64-linux-gnu-
set -eu

build=${1:-build}
cross=${2:-}
failed=0
program=$build/simclr
[ -x "$program" ] || { echo "hardened.sh: no $program: make first" >&2; exit 2; }
headers=$("${cross}readelf" -hldW "$program")

must() { # what, pattern
    printf '%s\n' "$headers" | grep -qE "$2" || { echo "$program: $1" >&2; failed=1; }
}
must "its addresses are known (not PIE)" 'Type: +DYN'
must "its tables can be overwritten (no RELRO)" 'GNU_RELRO'
must "its tables can be overwritten while it runs (no BIND_NOW)" '\(FLAGS\).*BIND_NOW|\(BIND_NOW\)|FLAGS_1.*NOW'
must "its stack can be executed" 'GNU_STACK.* RW +0x'

# The library's objects, for a static program holds the C library's own calls as well.
calls=$(find "$build/src" "$build/simd" "$build/scalar" -name '*.o' -exec "${cross}nm" --undefined-only {} + 2>/dev/null)
for call in __stack_chk_fail __memcpy_chk __snprintf_chk; do
    printf '%s\n' "$calls" | grep -qE " U $call(@|\$)" || { echo "$build: no object calls $call" >&2; failed=1; }
done

[ $failed = 0 ] && echo "hardened: $program is position independent, has full RELRO, guarded stacks and checked calls"
exit $failed
