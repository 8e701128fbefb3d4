#!/bin/bash
# From images to everything that a user makes of them, with the program alone: tests/end_to_end.sh BUILD, which holds simclr and
# tests/pictures, tests/json_value. Every output is looked into. Figures are the same on every machine, so limits may be close.
set -u
build=$(realpath "${1:-build}")
simclr=$build/simclr
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
checks=0
SECONDS=0

failed() {
    echo "end to end: $*" >&2
    for log in out err; do [ ! -s $log ] || sed "s/^/    $log: /" $log | head -n 20 >&2; done
    exit 1
}

# expect WHAT COMMAND...: the command succeeds.
expect() {
    local what=$1
    shift
    checks=$((checks + 1))
    "$@" || failed "not so: $what"
}

# simclr ARGUMENT... with exit code $want; standard output in `out`, standard error in `err`.
run() {
    "$simclr" "$@" >out 2>err
    local code=$?
    checks=$((checks + 1))
    [ $code -eq "${want:-0}" ] || failed "simclr $*: exit code $code, not ${want:-0}"
}

# value FILE KEY...: of JSON, which must parse.
value() {
    local file=$1
    shift
    "$build/tests/json_value" "$@" <"$file"
}

# holds CONDITION: of numbers, as awk has it.
holds() { awk "BEGIN { exit !($1) }" </dev/null; }

# begins FILE BYTES, in hexadecimal.
begins() { [ "$(head -c $((${#2} / 2)) "$1" | od -An -v -tx1 | tr -d ' \n')" = "$2" ]; }

lines() { wc -l <"$1"; }

# A safetensors file is its header's length, the header, and data of which the last tensor takes the end.
safetensors() {
    local length
    length=$(od -An -t u8 -N 8 "$1" | tr -d ' ')
    head -c $((8 + length)) "$1" | tail -c "$length" >header.json
    value header.json conv1.weight dtype >out && [ "$(cat out)" = F32 ]
}

# ---- images, and what will be ----
expect "pictures are made" "$build/tests/pictures" images 600
expect "there are ten classes" test "$(ls images/train | wc -l)" -eq 10
settings=(--arch resnet18 --width 0.25 --image-size 16 --batch-size 20 --optimizer sgd --lr 0.03 --temperature 0.2 --augment cifar
          --out-dim 32 --knn-k 20)
run plan images "${settings[@]}" --epochs 6 --no-measure --json
expect "plan tells the memory" holds "$(value out memory peak) > 1e6"
run preview images "${settings[@]}" -o sheet.png
expect "the sheet is a PNG" begins sheet.png 89504e470d0a1a0a

# ---- train ----
run train images "${settings[@]}" --epochs 6 -o run
expect "it ends with what was learned" grep -q '^kNN untrained' out
expect "settings are JSON" test "$(value run/config.json arch)" = resnet18
expect "metrics have a line an epoch" test "$(lines run/metrics.jsonl)" -eq 6
tail -n 1 run/metrics.jsonl >last.json
expect "the loss is below its ceiling" holds "$(value last.json loss) < $(value last.json loss_ceiling)"
expect "kNN is above chance" holds "$(value last.json knn) > 0.2"
expect "a share of the peak is measured" holds "$(value last.json perf percent_of_peak) > 0"
expect "metrics.csv has a header and a row an epoch" test "$(lines run/metrics.csv)" -eq 7
expect "the checkpoint is a safetensors file" safetensors run/checkpoint-00000144.safetensors
before=$(sha256sum <run/checkpoint-00000144.safetensors)
run train images "${settings[@]}" --epochs 6 -o run --resume --threads 1
expect "a complete run stays as it is" test "$before" = "$(sha256sum <run/checkpoint-00000144.safetensors)"
want=2 run train images "${settings[@]}" --epochs 6 -o run
want=2 run train images --batch-siz 16
expect "a misspelt option has its right name told" grep -q -e --batch-size err

# ---- eval ----
run eval run --json
cp out eval.json
for part in h z; do
    expect "kNN on $part is above chance" holds "$(value eval.json $part knn) > 0.2"
    expect "the probe of $part is above chance" holds "$(value eval.json $part linear_probe accuracy) > 0.2"
done
expect "features have 128 numbers" test "$(value eval.json h dimensions)" -eq 128
expect "training and eval agree" holds "($(value eval.json h knn) - $(value last.json knn)) ^ 2 < 1e-12"

# ---- finetune, predict ----
run finetune run --epochs 6 --lr 0.5 --batch-size 20 -o classifier
tail -n 1 classifier/metrics.jsonl >last.json
expect "the classifier is above chance" holds "$(value last.json test_accuracy) > 0.2"
expect "the classifier is a safetensors file" safetensors classifier/classifier.safetensors
expect "it has its classes' names" grep -qx ring classifier/classes.txt
want=2 run finetune run -o classifier
run predict classifier images --split test --top 2 --json
cp out predictions.json
expect "a prediction names a class" grep -qx "$(value predictions.json 0 classes 0 class)" classifier/classes.txt
run predict classifier images/train/ring/0001.png images/train/disc/0000.png -o classes.csv
expect "CSV of predictions has a row an image" test "$(lines classes.csv)" -eq 3

# ---- embed, search ----
run embed run images -o all.npy --split all
expect "features are an array of NumPy's" begins all.npy 934e554d5059
expect "its shape is that of all images" grep -aq "'shape': (600, 128)" all.npy
expect "its size too" test "$(wc -c <all.npy)" -eq $((128 + 600 * 128 * 4))
expect "every image has a name" test "$(lines all.names.txt)" -eq 600
run embed run images/train/ring/0001.png images/train/disc/0000.png -o two.csv
expect "CSV has a row an image" test "$(lines two.csv)" -eq 3
run search run images images/train/ring/0001.png --index all.npy --split all -k 3 --json --html near.html
expect "three neighbours" test "$(value out queries 0 neighbours)" -eq 3
expect "the nearest is the image itself" test "$(value out queries 0 neighbours 0 same_file)" = true
expect "its cosine is 1" holds "$(value out queries 0 neighbours 0 cosine) > 0.99999"
expect "the page has the four pictures" test "$(grep -c 'data:image/jpeg' near.html)" -ge 4

# ---- export, and begin from it ----
run export run -o encoder.safetensors
expect "the encoder is a safetensors file" safetensors encoder.safetensors
code=0
"$simclr" export run -o encoder.onnx >out 2>err || code=$?
if grep -q libprotobuf-c err; then
    echo "end to end: this build writes no ONNX and TensorBoard files"
else
    expect "ONNX is written" test $code -eq 0
    expect "its output is named" grep -aq images encoder.onnx
    expect "TensorBoard's events are written" test -s run/events.out.tfevents.simclr
fi
run train images "${settings[@]}" --init encoder.safetensors --limit 80 --epochs 1 --knn-every 0 -o more
expect "a run can begin from the encoder" test -s more/checkpoint-00000004.safetensors

# ---- report ----
run report run -o report.html
for part in 't-SNE: every image' 'PCA: every image' '<h2>Nearest neighbours' '<h2>What the augmentations do' '<dt>kNN, trained' '</html>'; do
    expect "the report has $part" grep -q "$part" report.html
done
expect "it needs nothing else" sh -c '! grep -q http report.html'

echo "end to end: $checks checks passed in $SECONDS s"
