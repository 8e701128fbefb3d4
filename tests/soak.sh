#!/usr/bin/env bash
# Trains a small model again and again and kills it (SIGKILL) about once a second; each life resumes the one before it with another
# number of threads and another ISA. Now and then the newest checkpoint is damaged between two lives. Each run must end in the
# checkpoint, the metrics (but for what was timed) and the files of a run that nobody disturbed.
#
#   MINUTES=1 SEED= DATA= tests/soak.sh PROGRAM FOLDER      SEED repeats the sequence of lives; DATA: images, else the generated set
#
# When the time is up the run at hand may end undisturbed. The peak memory of a run's lives must not grow from the first run to the
# last, and nothing may lie about outside of the runs.
set -euo pipefail
export LC_ALL=C

program=$1 folder=$2
minutes=${MINUTES:-1} seed=${SEED:-$(date +%s)}
settings=(--arch resnet18 --width 0.25 --stem cifar --image-size 16 --batch-size 8 --limit 160 --out-dim 16 --augment cifar
    --epochs 8 --knn-every 2 --checkpoint-every 3 --keep 3)
RANDOM=$((seed % 32768))

trap 'kill -KILL $(jobs -p) 2>/dev/null || true' EXIT
rm -rf "$folder"
mkdir -p "$folder"
isas=()
for isa in scalar avx2 avx512 neon; do
    if "$program" isa --isa "$isa" >/dev/null 2>&1; then isas+=("$isa"); fi
done
echo "soak: $minutes minutes, seed $seed, kernels: ${isas[*]}"

fail() {
    echo "soak: FAILED: $*" >&2
    tail -n 5 "$folder/log" >&2 || true
    exit 1
}

result() { # of a run: the hash of its last checkpoint, its metrics without what was timed, its files
    (cd "$1" && sha256sum checkpoint-00000160.safetensors && sed 's/, "perf".*//' metrics.jsonl && ls -A)
}

newest() { find "$folder/run" -name 'checkpoint-*.safetensors' | sort | tail -n 1; }

# Cuts the newest checkpoint or turns one of its bytes, if there is another to fall back on.
damage() {
    local file size at byte
    [ "$(find "$folder/run" -name 'checkpoint-*.safetensors' | wc -l)" -gt 1 ] || return 0
    file=$(newest) size=$(stat -c %s "$file")
    [ "$size" -gt 0 ] || return 0 # cut to nothing before, and no life came to look at it
    at=$(((RANDOM * 32768 + RANDOM) % size))
    case $((RANDOM % 3)) in
    0) truncate -s 0 "$file" ;;
    1) truncate -s "$at" "$file" ;;
    2)
        byte=$(od -An -tu1 -j "$at" -N 1 "$file")
        printf '%b' "\\x$(printf %x $((byte ^ (1 << RANDOM % 8))))" | dd of="$file" bs=1 seek="$at" conv=notrunc status=none
        ;;
    esac
    damaged=$((damaged + 1))
}

# Raises $peak to what process $1 has had in memory at most, in MB; a dead one has nothing.
note_peak() {
    local kilobytes
    kilobytes=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$1/status" 2>/dev/null) || return 0
    [ "${kilobytes:-0}" -le $((1024 * peak)) ] || peak=$(((kilobytes + 1023) / 1024))
}

# One life of at most $1 seconds ("": to its end, with the fastest kernels); 0: the run is complete, 1: it was killed.
live() {
    local pid code=0 isa=${isas[RANDOM % ${#isas[@]}]} threads=$((1 + RANDOM % 3))
    [ -n "$1" ] || isa=auto
    "$program" train ${DATA:+"$DATA"} -o "$folder/run" --resume "${settings[@]}" --isa "$isa" --threads "$threads" >"$folder/log" 2>&1 &
    pid=$!
    if [ -n "$1" ]; then
        sleep "$1"
        note_peak "$pid"
        kill -KILL "$pid" 2>/dev/null || true
    fi
    { wait "$pid"; } 2>/dev/null || code=$?
    case $code in
    0) return 0 ;;
    137) return 1 ;;
    *) fail "exit code $code with --isa $isa --threads $threads" ;;
    esac
}

deadline=$((SECONDS + $(awk "BEGIN { print int(60 * $minutes) }")))
"$program" train ${DATA:+"$DATA"} -o "$folder/undisturbed" "${settings[@]}" --threads 1 >"$folder/log" 2>&1 || fail "the undisturbed run"
result "$folder/undisturbed" >"$folder/expected"

kills=0 runs=0 damaged=0 aside=0 first_peak=0 last_peak=0 last='' idle=0
while [ "$runs" = 0 ] || [ "$SECONDS" -lt "$deadline" ]; do
    rm -rf "$folder/run"
    peak=0
    while true; do
        seconds=
        # Lives that came to no checkpoint, on a busy machine, are followed by longer ones.
        [ "$SECONDS" -ge "$deadline" ] || seconds=$((RANDOM % 2 + idle / 4)).$((RANDOM % 9 + 1))
        if live "$seconds"; then break; fi
        kills=$((kills + 1)) idle=$((idle + 1))
        [ "$(newest)" = "$last" ] || { last=$(newest) idle=0; }
        if [ $((RANDOM % 6)) = 0 ]; then damage; fi
    done
    while read -r file; do
        aside=$((aside + 1))
        rm "$file"
    done < <(find "$folder/run" -name '*.damaged')
    result "$folder/run" >"$folder/got"
    cmp -s "$folder/expected" "$folder/got" || { diff "$folder/expected" "$folder/got" >&2; fail "seed $seed: run $((runs + 1)) ended otherwise"; }
    runs=$((runs + 1))
    last_peak=$peak
    [ "$runs" -gt 1 ] || first_peak=$peak
done
left=$(find "$folder" -mindepth 1 -maxdepth 1 -printf '%f\n' | grep -vxE 'expected|got|log|run|undisturbed' || true)
[ -z "$left" ] || fail "left behind: $left"
[ "$last_peak" -le $((first_peak * 5 / 4)) ] || fail "the first run took $first_peak MB, the last $last_peak MB"
[ "$runs" -gt 0 ] || fail "no run was completed"
[ "$kills" -gt 0 ] || fail "nothing was killed: the machine is too slow for $minutes minutes"
echo "soak: $kills kills survived in $runs runs, $damaged checkpoints damaged ($aside set aside); peak memory of the first run $first_peak MB," \
    "of the last $last_peak MB; every run ended in $(head -c 64 "$folder/expected")"
rm -rf "$folder"
