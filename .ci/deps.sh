#!/bin/sh
# Looks for what the build needs; the Makefile calls it before it compiles.
#
#   .ci/deps.sh [--install] build [test] [bench] [fuzz] [coverage]
#
# With --install, what is missing is installed through apt: at once as root, after asking on a terminal. Otherwise, or where
# there is no apt, it prints the one command to run and fails. When nothing is missing it costs a few milliseconds.
#
# With CROSS, a prefix such as aarch64-linux-gnu-, in the environment it looks for that compiler and for what it links, with the
# flags in LINK, and installs nothing: that would give this system another architecture.
set -eu

install=no
[ "${1:-}" != --install ] || { install=yes; shift; }
for_what=" $* "
cc=${CC:-cc}
cross=${CROSS:-}
arch= # Debian's name of the other architecture
case $cross in
aarch64-*) arch=arm64 ;;
arm-*eabihf-) arch=armhf ;;
x86_64-*) arch=amd64 ;;
*) arch=${cross%%-*} ;;
esac
missing=

wanted() { case $for_what in *" $1 "*) return 0 ;; *) return 1 ;; esac; }

# The compiler, the C library's headers and OpenMP in one go.
if ! printf '#include <stdio.h>\n#include <omp.h>\n' | $cc -fopenmp -E - >/dev/null 2>&1; then
    case $cc in
    "${cross:-none}"*) missing="gcc-${cross%-} libc6-dev-$arch-cross" ;;
    *clang*) missing="clang libomp-dev libc6-dev" ;;
    *) missing="gcc libc6-dev" ;;
    esac
fi
if command -v pkg-config >/dev/null; then
    pkg-config --exists stb || missing="$missing libstb-dev"
    [ -n "$cross" ] || pkg-config --exists jansson || missing="$missing libjansson-dev"
    ! wanted test || pkg-config --exists criterion || missing="$missing libcriterion-dev"
    # ONNX is tested where the program can write it; without these packages it builds all the same.
    ! wanted test || pkg-config --exists libprotobuf-c || missing="$missing libprotobuf-c-dev"
    ! wanted bench || pkg-config --exists benchmark || missing="$missing libbenchmark-dev"
else
    missing="$missing pkg-config libstb-dev"
    [ -n "$cross" ] || missing="$missing libjansson-dev"
    ! wanted test || missing="$missing libcriterion-dev libprotobuf-c-dev"
    ! wanted bench || missing="$missing libbenchmark-dev"
fi
# pkg-config speaks of this machine's library. Flags are words; the compiler, where it is missing, is already known to be.
# shellcheck disable=SC2086
if [ -n "$cross" ] && ! printf '#include <jansson.h>\nint main(void) { return !json_object(); }\n' |
    $cc ${LINK:-} -x c - -o /dev/null -ljansson 2>/dev/null; then
    missing="$missing libjansson-dev:$arch"
fi
if wanted bench && ! printf '#include <vector>\n' | ${CXX:-c++} -x c++ -E - >/dev/null 2>&1; then
    missing="$missing g++"
fi
# clang's libFuzzer, in a package of the version that is there, or that apt would install.
if wanted fuzz && ! printf 'int LLVMFuzzerTestOneInput(const char *p, long n) { return !p && n; }' |
    clang -x c -fsanitize=fuzzer,address -o /dev/null - 2>/dev/null; then
    version=$(clang -dumpversion 2>/dev/null | cut -d. -f1)
    version=${version:-$(apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p')}
    missing="$missing libclang-rt${version:+-$version}-dev"
fi
! wanted test || command -v protoc-c >/dev/null || missing="$missing protobuf-c-compiler"
! wanted coverage || command -v gcovr >/dev/null || missing="$missing gcovr"
missing=${missing# }
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "Missing: $missing (Debian's names). Install them with your package manager, then run make again." >&2
    exit 1
fi

sudo=
[ "$(id -u)" = 0 ] || sudo="sudo "
command="${cross:+${sudo}dpkg --add-architecture $arch && }${sudo}apt-get update && ${sudo}apt-get install -y --no-install-recommends $missing"
[ -z "$cross" ] || install=no
if [ $install = yes ]; then
    if [ -n "$sudo" ]; then
        install=no
        if [ -t 0 ] && [ -t 2 ] && command -v sudo >/dev/null; then
            printf 'Missing: %s. Install with sudo apt-get? [y/N] ' "$missing" >&2
            read -r answer
            case $answer in [yY]*) install=yes ;; esac
        fi
    fi
    if [ $install = yes ]; then
        echo "Installing $missing" >&2
        export DEBIAN_FRONTEND=noninteractive
        sh -c "$command" >&2 && exit 0
        echo "That failed. Where a package is not found, the 'universe' component (Ubuntu) may be switched off." >&2
    fi
fi
echo "Missing: $missing. Install with:" >&2
echo "    $command" >&2
exit 1
