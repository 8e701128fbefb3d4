#!/bin/sh
# clang-tidy and cppcheck over src/, simd/ and data/: both must find nothing. .clang-tidy and .cppcheck say what is looked for.
#
#   tests/analyse.sh [FILE...]      default: all
set -eu

cd "$(dirname "$0")/.."
stb=$(pkg-config --cflags-only-I stb | sed 's/-I/-isystem /g')
make -s build/proto/onnx.pb-c.c
export FLAGS="-std=c11 -fopenmp -Iinclude -Isrc -I. -isystem build/proto -D_POSIX_C_SOURCE=200809L $stb"

[ $# -gt 0 ] || set -- simd/*.c simd/scalar/*.c simd/shared/*.c src/*/*.c data/*.c
# shellcheck disable=SC2016 # expanded by the inner shell
printf '%s\n' "$@" | xargs -P "$(nproc)" -I{} sh -c '
    case {} in simd/*/*) set -- -Isimd -DISA=scalar ;; esac
    checks=; case {} in src/data/decode.c) checks=-clang-analyzer-unix.Malloc ;; esac # of stb_image, which it holds
    found=$(clang-tidy --quiet --checks="$checks" {} -- $FLAGS "$@" 2>/dev/null) && [ -z "$found" ] || { echo "$found"; exit 1; }' tidy ||
    { echo "clang-tidy found the above" >&2; exit 1; }

# shellcheck disable=SC2086 # flags are words
cppcheck --quiet -j "$(nproc)" --std=c11 --enable=warning,performance,portability --inconclusive --error-exitcode=1 \
    --suppressions-list=.cppcheck --template=gcc -Iinclude -Isrc -I. -Isimd -D_POSIX_C_SOURCE=200809L -DISA=scalar "$@" ||
    { echo "cppcheck found the above" >&2; exit 1; }
echo "analyse: clang-tidy and cppcheck find nothing in $# files"
