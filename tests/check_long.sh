#!/usr/bin/env bash
# What .ci/run has no time for. Each check's output goes to build/long/NAME.log; a summary comes last.
#
#   tests/check_long.sh [CHECK...]        default: all of them, below; SOAK_MINUTES=30
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C
out=build/long
checks=(coverage races equality inject fuzz soak)

check_coverage() { make coverage; }

# Every suite under the thread sanitizer, not only those of .ci/run.
check_races() { .ci/run threads_all; }

# Networks of every kind of block, trained for some steps on every ISA and number of threads, must end in the same bytes.
check_equality() {
    local settings run=$out/run isa threads first hash
    make || return
    for settings in "--arch resnet18 --width 0.5 --image-size 32 --batch-size 32 --limit 128 --optimizer lars" \
        "--arch resnet50 --width 0.25 --image-size 64 --batch-size 12 --limit 60 --augment paper"; do
        first=
        for isa in scalar avx2 avx512 neon; do
            build/simclr isa --isa "$isa" >/dev/null 2>&1 || continue
            for threads in 1 2 3 5 8; do
                [ "$isa" != scalar ] || [ "$threads" = 2 ] || continue # slow
                rm -rf "$run"
                # shellcheck disable=SC2086 # settings are words
                build/simclr train -o "$run" $settings --epochs 2 --isa "$isa" --threads "$threads" >/dev/null || return
                hash=$(sha256sum "$run"/checkpoint-*.safetensors | tail -n 1 | cut -d' ' -f1)
                echo "$hash $isa, $threads threads: $settings"
                [ "$hash" = "${first:=$hash}" ] || return
            done
        done
    done
}

check_inject() { make inject STRIDE=1; }
check_fuzz() { make fuzz; }
check_soak() { make soak MINUTES="${SOAK_MINUTES:-30}"; }

mkdir -p "$out"
[ $# = 0 ] || checks=("$@")
failed=0 summary=
for check in "${checks[@]}"; do
    start=$SECONDS
    echo "---- $check, since $(date +%H:%M); $out/$check.log"
    if "check_$check" </dev/null >"$out/$check.log" 2>&1; then
        result=passed
    else
        result=FAILED failed=$((failed + 1))
        tail -n 20 "$out/$check.log"
    fi
    summary+=$(printf '%-10s %s %7d s   %s' "$check" "$result" $((SECONDS - start)) "$(tail -n 1 "$out/$check.log" | cut -c1-100)")$'\n'
done
printf '\n%s%d failed\n' "$summary" "$failed"
[ "$failed" = 0 ]
