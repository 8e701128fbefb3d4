#!/usr/bin/env bash
# Runs fuzz targets for SECONDS_EACH seconds, two at a time, from the corpus and what earlier runs have found:
#
#   SECONDS_EACH=600 tests/fuzz/run.sh FOLDER TARGET...      FOLDER is where `make fuzz` built them
#
# Prints a line a target, and fails where one crashed, leaked, hung for a minute or took more than a gigabyte; the input that
# did it lies in FOLDER/findings, and `FOLDER/TARGET INPUT` repeats it.
set -uo pipefail
export LC_ALL=C

folder=$1
shift

TMPDIR=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)" simclr-fuzz-XXXXXX) || exit 1
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
mkdir -p "$folder/corpus" "$folder/findings"
"$folder/corpus_files" "$folder/corpus" || exit 1

declare -A longest=([image]=8192 [cifar]=12292 [stl10]=64)

fuzz() {
    local target=$1 log=$folder/log-$1 found=$folder/found/$1 options=()
    mkdir -p "$found"
    [ ! -e "tests/fuzz/$target.dict" ] || options+=("-dict=tests/fuzz/$target.dict")
    "$folder/$target" "${options[@]}" -max_total_time="${SECONDS_EACH:-600}" -max_len="${longest[$target]:-4096}" -timeout=60 -rss_limit_mb=1024 \
        -print_final_stats=1 -artifact_prefix="$folder/findings/$target-" "$found" "$folder/corpus/$target" >"$log" 2>&1
    local code=$? runs first last
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    first=$(sed -n 's/.*INITED cov: \([0-9]*\).*/\1/p' "$log")
    last=$(sed -n 's/.*\(DONE\|NEW\|REDUCE\|pulse\) *cov: \([0-9]*\).*/\2/p' "$log" | tail -n 1)
    printf '%-11s %10s executions in %4s s, edges %5s -> %5s: %s\n' "$target" "${runs:-?}" \
        "$(sed -n 's/^Done .* in \([0-9]*\) second.*/\1/p' "$log")" "${first:-?}" "${last:-?}" \
        "$([ $code = 0 ] && echo "no finding" || { echo "FAILED"; grep -m 2 -E 'ERROR|SUMMARY|expected:' "$log"; grep -m 1 'Test unit written' "$log"; })"
    return $code
}

failed=0 running=0
for target; do
    if [ $running -ge 2 ]; then wait -n || failed=1; running=$((running - 1)); fi
    fuzz "$target" &
    running=$((running + 1))
done
while [ $running -gt 0 ]; do wait -n || failed=1; running=$((running - 1)); done
exit $failed
