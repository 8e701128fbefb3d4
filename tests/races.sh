#!/bin/sh
# Data races: the tests that start threads, and a training of the program, under clang's thread sanitizer. Nothing is suppressed.
#
#   tests/races.sh BUILD ARCHER [all]      BUILD: made with -fsanitize=thread; ARCHER: libarcher.so; all: every suite that can run
set -eu

build=$1 suites='@(knn/!(lack_of*)|@(api_threads|loader|network|network_by_hand|ntxent|pack|prefetch|trainer)/*)' # par_for, atomics and the reading thread
[ "${3:-}" != all ] || suites='!(@(harness|cli|memory|recovery)/*|*/lack_of*)' # these crash or run out of memory on purpose
export OMP_WAIT_POLICY=passive OMP_TOOL_LIBRARIES="$2"
# libomp and libc are not instrumented; a test may fork once it has had threads, and ask for more memory than there is.
export TSAN_OPTIONS=ignore_noninstrumented_modules=1:die_after_fork=0:allocator_may_return_null=1:halt_on_error=1

SIMCLR_BIN=$build/simclr "$build/tests/run" --filter "$suites"

run=$build/run
rm -rf "$run"
set -- "$build/simclr" train -o "$run" --arch resnet18 --width 0.25 --stem cifar --image-size 16 --batch-size 8 --limit 32 \
    --epochs 2 --checkpoint-every 2 --threads 3
"$@" >"$build/log" 2>&1 || { cat "$build/log" >&2; exit 1; }
rm "$run/checkpoint-00000008.safetensors"
"$@" --resume >>"$build/log" 2>&1 || { cat "$build/log" >&2; exit 1; }
echo "races: none"
