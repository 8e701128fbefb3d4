#!/bin/sh
# The library as its users meet it: installed into a folder of its own, and used through pkg-config from there.
#
#   tests/library.sh [BUILD]
#
# In the environment: CC and CXX; CFLAGS, those of BUILD, which examples get too (-fsanitize=address); RUN, what runs them (valgrind ...);
# PYTHON, whose NumPy and PyTorch are asked for the loss.
set -eu

build=${1:-build}
cc=${CC:-cc} cxx=${CXX:-c++} flags=${CFLAGS:-} run=${RUN:-} python=${PYTHON:-python3}
root=$(pwd)/$build/installed
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed() { echo "library.sh: $*" >&2; exit 1; }

# As Debian has it: libraries in a folder of the architecture's.
libdir=/usr/lib/$($cc -dumpmachine)
rm -rf "$root"
installed() { make -s BUILD="$build" PREFIX=/usr LIBDIR="$libdir" DESTDIR="$root" "$@"; }
installed install
export PKG_CONFIG_SYSROOT_DIR="$root" PKG_CONFIG_PATH="$root$libdir/pkgconfig" LD_LIBRARY_PATH="$root$libdir"
for file in /usr/bin/simclr "$libdir/libsimclr.so.0" "$libdir/libsimclr.so" /usr/share/man/man1/simclr.1 /usr/share/doc/simclr/library.md \
    /usr/share/bash-completion/completions/simclr /usr/share/zsh/site-functions/_simclr; do
    [ -s "$root$file" ] || failed "make install left no $file"
done
[ "$("$root/usr/bin/simclr" --version)" = "simclr $(pkg-config --modversion simclr)" ] || failed "program and simclr.pc have other versions"

# ---- What can be seen: the functions of the headers, and nothing else ----

sed -n 's/.*SIMCLR_API.*[ *]\(simclr_[a-z0-9_]*\)(.*/\1/p' "$root"/usr/include/simclr/*.h | sort >"$work/declared"
nm -D --defined-only "$root$libdir/libsimclr.so" | awk '{ print $NF }' | sort >"$work/shared"
nm --defined-only --extern-only "$root$libdir/libsimclr.a" | awk 'NF == 3 { print $3 }' | sort >"$work/static"
case $flags in
*-fsanitize*) ;; # has symbols of its own
*) for list in shared static; do
       diff "$work/declared" "$work/$list" || failed "the headers (<) and the $list library (>) have other functions"
   done ;;
esac
readelf -d "$root$libdir/libsimclr.so" | grep -q 'SONAME.*\[libsimclr.so.0\]' || failed "the shared library is not called libsimclr.so.0"
! readelf -d "$root$libdir/libsimclr.so" | grep -q TEXTREL || failed "the shared library is not position independent"

# ---- Each header by itself, as C and as C++ ----

for header in "$root"/usr/include/simclr/*.h; do
    echo "#include <simclr/${header##*/}>" >"$work/header.c"
    $cc -std=c11 -Wall -Wextra -pedantic -Werror -I"$root/usr/include" -fsyntax-only "$work/header.c"
    $cxx -std=c++17 -Wall -Wextra -pedantic -Werror -I"$root/usr/include" -fsyntax-only -x c++ "$work/header.c"
done

# ---- The examples ----

examples=$root/usr/share/doc/simclr/examples
for example in nt_xent blur train embed; do
    # shellcheck disable=SC2086,SC2046 # flags are words
    $cc -std=c11 -Wall -Wextra -pedantic -Werror $flags "$examples/$example.c" -o "$work/$example" $(pkg-config --cflags --libs simclr) -lm
done
$run "$work/nt_xent"
{ printf 'P6\n33 21\n255\n' && head -c 2079 "$root/usr/bin/simclr"; } >"$work/in.ppm"
$run "$work/blur" "$work/in.ppm" "$work/out.ppm" 9 2.5
[ "$(wc -c <"$work/out.ppm")" = 2092 ] && ! cmp -s "$work/in.ppm" "$work/out.ppm" || failed "the blurred picture is none"
mkdir "$work/run"
$run "$work/train" "$work/run"
"$root/usr/bin/simclr" preview -o "$work/picture.png" --image-size 32 --limit 4 >/dev/null
$run "$work/embed" "$work/run" "$work/picture.png" >"$work/features"
[ "$(sort -u "$work/features" | wc -l)" -ge 64 ] || failed "these are no features: $(head -n 3 "$work/features")"

# ---- Static, into a program that has names of ours; C++, too ----

cat >"$work/own.cc" <<'EOF'
#include <simclr/simclr.h>
extern "C" int fail(void) { return 1; }
extern "C" int ntxent(void) { return 2; }
extern "C" int par_for(void) { return 3; }
int main()
{
    float z[8] = {1, 0, 0, 1, 1, 0, 0, 1};
    double loss = 0;
    simclr_engine *engine;
    if (simclr_engine_create(&engine, "scalar", 2, nullptr) != SIMCLR_OK || simclr_nt_xent(engine, &loss, nullptr, z, 4, 2, 1, nullptr) != SIMCLR_OK)
        return 1;
    simclr_engine_free(engine);
    return loss > 0.55 && loss < 0.56 && fail() + ntxent() + par_for() == 6 ? 0 : 1; // ln(e + 2) - 1
}
EOF
# shellcheck disable=SC2086,SC2046
$cxx -std=c++17 $flags "$work/own.cc" -o "$work/own" $(pkg-config --cflags simclr) "$root$libdir/libsimclr.a" \
    $(pkg-config --static --libs-only-l simclr | sed 's/-lsimclr//')
$run "$work/own" || failed "a program that has names of the library's is wrong"

# ---- Python ----

if [ -n "$run$flags" ]; then
    : # instruments would have to be loaded into Python
elif "$python" -c 'import numpy' 2>/dev/null; then
    LIBSIMCLR="$root$libdir/libsimclr.so.0" "$python" "$examples/nt_xent.py"
    LIBSIMCLR="$root$libdir/libsimclr.so.0" "$python" tests/library_test.py "$examples"
else
    echo "$python has no NumPy: its example is left out"
fi

installed uninstall
[ -z "$(find "$root" ! -type d)" ] || failed "make uninstall left $(find "$root" ! -type d)"
echo "library: installed, $(wc -l <"$work/declared") functions, examples run, and removed"
