#!/usr/bin/env bash
# Makes the n-th allocation, open, read, write, fsync or close, rename or unlink, and stat of a short run fail, for every STRIDE-th n, once and,
# with FOREVER=1, also for good (tests/tools/inject.c). Each time the program must end with a sentence and exit code 1, or go on and say 0;
# and then a run that is resumed undisturbed must end in the files of one that nobody disturbed.
#
# "json" are the allocations of jansson, of which every (101 STRIDE)-th fails: it makes the same ones for each of hundreds of tensors.
#
#   STRIDE=1 FOREVER= KINDS="alloc json open read write sync name look" tests/inject.sh PROGRAM LIBRARY FOLDER [SCENARIO...]
#
# Scenarios: begin, a whole run; resume, one from its second checkpoint, with what a killed one left; diverge, a run that writes down a step
# whose numbers went wrong, and skips it; replay, of that step; pack.
set -euo pipefail
export LC_ALL=C OMP_WAIT_POLICY=passive

program=$1 library=$2 folder=$3
stride=${STRIDE:-1}
settings=(--arch resnet18 --width 0.25 --stem cifar --image-size 8 --batch-size 4 --out-dim 8 --optimizer sgd --epochs 2 --knn-k 3 --threads 1
    --checkpoint-every 2 --keep 3)
diverging=(--optimizer adamw --lr 1000 --wd 10 --on-nan skip)

command_of() { # scenario: what is run in its folder
    case $1 in
    begin | resume) train=("${settings[@]}") ;;
    diverge) train=("${settings[@]}" "${diverging[@]}") ;;
    replay) command=("$program" replay run --threads 1); return ;;
    pack) command=("$program" pack ../data -o pack.npy --image-size 8 --threads 1); return ;;
    esac
    command=("$program" train ../data -o run --resume "${train[@]}")
}

result() { # scenario: all that must be as if nothing had happened
    case $1 in
    pack) sha256sum ./*.npy ./*.txt && ls -A ;;
    replay) "$program" replay run --threads 1 | sed 1d ;;
    *) cd run && sha256sum checkpoint-*.safetensors broken.txt && sed 's/, "perf".*//' metrics.jsonl && ls -A ;;
    esac
}

# ---- One injection, in a process of its own: one SCENARIO KIND N ----

if [ "${4:-}" = one ]; then
    scenario=$5 kind=$6 n=$7 dir=$folder/$5-$6-$7
    rm -rf "$dir" && cp -r "$folder/$scenario" "$dir" && cd "$dir"
    command_of "$scenario"
    fail() {
        echo "$scenario $kind FAILED"
        { echo "inject: FAILED: $scenario, $kind $n: $*"; tail -n 3 err; } >&2
        exit 0
    }
    code=0
    INJECT=$kind:$n LD_PRELOAD=$library "${command[@]}" >out 2>err || code=$?
    case $code in
    0) outcome="went on" ;;
    1) outcome="stopped with a sentence" ;;
    *) fail "exit code $code" ;;
    esac
    [ "$code" = 0 ] || { tail -n 1 err | grep -q '^simclr: .'; } || fail "no sentence"
    [ "$scenario" = replay ] || "${command[@]}" >again 2>&1 || [ "$scenario:$code" = pack:0 ] || fail "cannot go on: $(tail -n 1 again)"
    rm -f out err again
    # A checkpoint that could not be read is set aside, and the one before it taken: no one could tell that from a damaged disk.
    if [[ $kind = @(read|look) && $scenario = resume ]] && rm run/checkpoint-*.damaged 2>/dev/null; then outcome+=", from the checkpoint before"; fi
    (result "$scenario") >../"$scenario-$kind-$n.got" 2>&1 || true
    if ! cmp -s ../"$scenario.expected" ../"$scenario-$kind-$n.got"; then
        # A picture that cannot be read counts as broken (the broken one for another reason): the run lists it, and goes on.
        [[ $kind:$code = @(read|look):0 ]] && [[ $(cat run/broken.txt pack.broken.txt 2>/dev/null | wc -l) = [12] ]] && outcome="went on without a picture" ||
            { touch err; fail "it ended otherwise: $(diff ../"$scenario.expected" ../"$scenario-$kind-$n.got" | head -n 4)"; }
    fi
    rm -rf "$dir" "$folder/$scenario-$kind-$n.got"
    echo "$scenario $kind $outcome"
    exit 0
fi

# ---- What is run: pictures of two classes, one of them broken; a folder a scenario, as before the run ----

rm -rf "$folder" && mkdir -p "$folder/data/a" "$folder/data/b"
self=$(realpath "$0") folder=$(cd "$folder" && pwd) program=$(realpath "$program") library=$(realpath "$library")
for i in {10..22}; do # BMP: 8 x 8 pixels of 24 bits
    text=$(seq -s '' $((i * i)) $((i * i + 90)))
    {
        printf 'BM\xf6\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x08\0\0\0\x08\0\0\0\x01\0\x18\0\0\0\0\0\xc0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
        printf %s "${text:0:192}"
    } >"$folder/data/$([ $((i % 2)) = 0 ] && echo a || echo b)/$i.bmp"
done
head -c 60 "$folder/data/a/10.bmp" >"$folder/data/b/broken.bmp"

scenarios=("${@:4}")
[ ${#scenarios[@]} -gt 0 ] || scenarios=(begin resume diverge replay pack)
for scenario in begin resume diverge replay pack; do
    mkdir "$folder/$scenario" "$folder/whole" && cd "$folder/whole"
    command_of "$scenario"
    case $scenario in
    resume)
        cp -r "$folder/begun" run
        rm run/checkpoint-00000006.safetensors
        printf '{"epoch": 2, "ste' >>run/metrics.jsonl
        echo half >run/checkpoint-00000006.safetensors.tmp
        cp -r run "$folder/resume/run"
        ;;
    replay) cp -r "$folder/diverged" run && cp -r run "$folder/replay/run" ;;
    esac
    INJECT_COUNTS=$folder/$scenario.counts LD_PRELOAD=$library "${command[@]}" >log 2>&1 || { tail -n 3 log; exit 1; }
    rm -f log
    (result "$scenario") >"$folder/$scenario.expected"
    case $scenario in
    begin) cp -r run "$folder/begun" ;;
    diverge) cp -r run "$folder/diverged" ;;
    esac
    cd "$folder" && rm -rf whole
done

# ---- All of them, as many at once as there are processors ----

list() {
    local scenario kind count step n
    for scenario in "${scenarios[@]}"; do
        while read -r kind count; do
            [[ " ${KINDS:-$kind} " = *" $kind "* ]] || continue
            [ "$kind" = json ] && step=$((101 * stride)) || step=$stride
            for ((n = 1; n <= count; n += step)); do
                echo "$scenario $kind $n"
                [ -z "${FOREVER:-}" ] || echo "$scenario $kind $n+"
            done
        done <"$folder/$scenario.counts"
    done
}

echo "inject: calls of an undisturbed run"
for scenario in "${scenarios[@]}"; do echo "  $scenario: $(tr '\n' ' ' <"$folder/$scenario.counts")"; done
list | xargs -P "$(nproc)" -L 1 "$self" "$program" "$library" "$folder" one >"$folder/results"
sort "$folder/results" | uniq -c
grep -q . "$folder/results" && ! grep -q FAILED "$folder/results" || { echo "inject: FAILED" >&2; exit 1; }
echo "inject: $(wc -l <"$folder/results") failures survived"
rm -rf "$folder"
