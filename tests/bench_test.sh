#!/usr/bin/env bash
# What bench promises to scripts: its JSON, and that --compare-isa and --baseline find what they are for. Faults are massive, so that
# no other program on the machine decides a test.
#
#   tests/bench_test.sh BUILD
set -uo pipefail
build=$1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0

check() { # what, exit code expected, sentence expected ("": none), command...
    local what=$1 code=$2 sentence=$3
    "${@:4}" >"$work/log" 2>&1
    local got=$?
    if [ $got = "$code" ] && grep -qE -- "$sentence" "$work/log"; then
        echo "ok: $what"
    else
        failed=1
        echo "FAILED: $what: exit code $got, $code expected, and the sentence '$sentence' in:"
        tail -n 15 "$work/log"
    fi
}

# One thread: where all cores are taken, several that wait for each other take seconds for what is a millisecond's work.
# shellcheck disable=SC2120 # check passes it arguments
compare() { "$build/tests/compare_faults" --compare-isa --quick --threads 1 --tolerance 25% --filter '^relu_backward/' "$@"; }
isas=$("$build/bench" --benchmark_list_tests --filter '^relu_backward/' | cut -d/ -f2)
best=${isas##*$'\n'}

check "no fault" 0 "rows on scalar.*: all results are equal, bit by bit" compare --json "$work/isa.json" --markdown "$work/isa.md"
check "table as JSON" 0 "^relu_backward \[\]" python3 -c "
import json; t = json.load(open('$work/isa.json'))
assert t['isas'] == list(t['rows'][0]['paths']) == '''$isas'''.split()
print(t['rows'][0]['kernel'], t['failures'])"
check "table as Markdown" 0 "^\| relu_backward \| 16384 \| GB/s \|" cat "$work/isa.md"
if [ "$isas" != scalar ]; then
    FAULT=broken check "broken kernel" 1 "FAILED: relu_backward/$best/16384 is wrong: its results are not scalar's, from byte" compare
    FAULT=slowed check "slowed kernel" 1 "FAILED: relu_backward/$best/16384 is slow: 0.[0-9]* times as fast as" compare
    FAULT=scalar check "scalar kernel" 1 "FAILED: kernel relu_backward of $best is that of scalar: it has none of its own" compare
fi

rows() { "$build/bench" --quick --threads 1 --filter '^(gemm|conv3x3.fwd|ntxent|blur.f32|hue|maxpool)/' "$@"; }
# Its exit code is not asked for: on a busy machine a row may be faster than its limit was measured.
rows --benchmark_out="$work/run.json" >"$work/log" 2>&1
check "JSON of rows" 0 "^rows" python3 -c "
import json
run = json.load(open('$work/run.json'))
rows = run['benchmarks']
assert {r['name'].split('/')[1] for r in rows} == set('''$isas'''.split()) == set(run['context']['isas'].split())
for r in rows: assert r['pct_peak'] > 0 and (r['GFLOP/s'] > 0 or r['GB/s'] > 0), r
assert all(r['x_scalar'] > 0 for r in rows)
print('rows', len(rows))"

# Kernels far from their limits: a row that is faster than a limit that was measured on a busy machine fails the run.
against() { rows --filter '^(blur.f32|hue|maxpool)/' --baseline "$work/base.json" "$@"; }

# One row was 50 times faster, one 50 times slower, one is gone, one unknown, one without a figure, one seen three times.
doctor() { python3 -c "
import json, sys
run = json.load(open('$work/run.json'))
rows = [r for r in run['benchmarks'] if r['name'].startswith(('blur.f32/', 'hue/', 'maxpool/'))]
for r in rows:
    if r['name'].startswith('maxpool/'): r['pct_peak'] /= 50
    if r['name'].startswith('hue/'): r['pct_peak'] *= $1
del rows[0]['pct_peak']
rows += [dict(rows[1]), dict(rows[1]), dict(rows[1], name='gone/scalar/1', run_name='gone/scalar/1')]
rows[-2]['pct_peak'] *= 1e6
json.dump(dict(run, benchmarks=rows), open('$work/base.json', 'w'))"; }
doctor 50
check "baseline: regressions" 1 "^REGRESSION  hue/.*of its limit, was" against --tolerance 90%
cp "$work/log" "$work/regressions"
check "baseline: gains" 0 "^gain  *maxpool/" cat "$work/regressions"
check "baseline: other rows" 0 "rows are not in it, 1 of it not here" cat "$work/regressions"
doctor 0.9
check "baseline: nothing lost" 0 ": 0 regressions, [1-9]" against --tolerance 98%
echo '{"benchmarks": []}' >"$work/base.json"
check "baseline: nothing in common" 1 "nothing was compared" against
echo 'text' >"$work/base.json"
check "baseline: not JSON" 2 "^bench: --baseline .*base.json: " against
check "tolerance: not a percentage" 2 "give a percentage" "$build/bench" --tolerance much
check "table without a comparison" 2 "are for --compare-isa" "$build/bench" --json "$work/isa.json"
check "page of a comparison" 2 "goes without --html" "$build/bench" --compare-isa --html "$work/page.html"
check "option without its value" 2 "^bench: --html: needs a value" "$build/bench" --html
exit $failed
