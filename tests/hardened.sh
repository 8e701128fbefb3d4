#!/bin/sh
# Was the program built so that a hole in it is hard to use? See HARDEN in the Makefile.
#
#   tests/hardened.sh [BUILD [CROSS]]      BUILD default build, CROSS a prefix such as aarch64-linux-gnu-
set -eu

build=${1:-build}
cross=${2:-}
failed=0
[ -x "$build/simclr" ] || { echo "hardened.sh: no $build/simclr: make first" >&2; exit 2; }

must() { # what, pattern
    printf '%s\n' "$headers" | grep -qE "$2" || { echo "$program: $1" >&2; failed=1; }
}
programs=$build/simclr
[ ! -x "$build/simclr-static" ] || programs="$programs $build/simclr-static"
[ ! -e "$build/libsimclr.so" ] || programs="$programs $build/libsimclr.so"
for program in $programs; do
    headers=$("${cross}readelf" -hldW "$program")
    must "its addresses are known (not PIE)" 'Type: +DYN'
    must "its tables can be overwritten (no RELRO)" 'GNU_RELRO'
    must "its tables can be overwritten while it runs (no BIND_NOW)" '\(FLAGS\).*BIND_NOW|\(BIND_NOW\)|FLAGS_1.*NOW'
    must "its stack can be executed" 'GNU_STACK.* RW +0x'
done

# The library's objects, for a static program holds the C library's own calls as well.
calls=$(find "$build/src" "$build/simd" "$build/scalar" -name '*.o' -exec "${cross}nm" --undefined-only {} + 2>/dev/null)
for call in __stack_chk_fail __memcpy_chk __snprintf_chk; do
    printf '%s\n' "$calls" | grep -qE " U $call(@|\$)" || { echo "$build: no object calls $call" >&2; failed=1; }
done

[ $failed = 0 ] && echo "hardened: $programs: position independent, full RELRO, guarded stacks and checked calls"
exit $failed
