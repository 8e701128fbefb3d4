#!/bin/sh
# What programs that are linked to the library rely on is as it was: no function gone, no argument or type of another shape, since the first
# library of this soname (tests/fixtures/libsimclr.abi). New functions are no change.
#
#   tests/abi.sh [BUILD]            compares the library of BUILD
#   tests/abi.sh --write [BUILD]    writes the description anew: for a new soname, or to hold new functions, once released, to it as well
set -eu

write=no
[ "${1:-}" != --write ] || { write=yes; shift; }
library=${1:-build}/libsimclr.so known=tests/fixtures/libsimclr.abi
command -v abidiff >/dev/null || { echo "abi.sh: abidiff is missing; install abigail-tools" >&2; exit 1; }
[ "$(uname -m)" = x86_64 ] || { echo "abi.sh: the description is of an x86-64 library"; exit 77; }
[ -e "$library" ] || { echo "abi.sh: no $library: make library first" >&2; exit 2; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
abidw --headers-dir include/simclr --drop-private-types --drop-undefined-syms --exported-interfaces-only --no-corpus-path --no-show-locs \
    --no-comp-dir-path --no-elf-needed --type-id-style hash --out-file "$work/abi" "$library"
if [ $write = yes ]; then
    cp "$work/abi" "$known"
    exit
fi

compare() { abidiff --no-added-syms "$1" "$work/abi"; }
compare "$known" || { echo "abi.sh: programs built for the old library would break; add functions instead of changing any" >&2; exit 1; }

# Would it find a change? Both of a description that is another one, as if the library had been that.
differs() { # what, sed's command
    sed "$2" "$known" >"$work/other"
    ! cmp -s "$known" "$work/other" || { echo "abi.sh: cannot make a description with $1" >&2; exit 1; }
    ! compare "$work/other" >/dev/null 2>&1 || { echo "abi.sh: abidiff does not see $1" >&2; exit 1; }
}
differs "another function" 's/simclr_nt_xent/simclr_nt_xent_once/'
differs "a shorter error" "s/size-in-bits='4096'/size-in-bits='2048'/; s/length='512'/length='256'/"
echo "abi: as in $known"
