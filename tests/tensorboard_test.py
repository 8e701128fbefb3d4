#!/usr/bin/env python3
"""Whether TensorBoard reads a run's event file: every point of it, resumed or not, is the one in metrics.jsonl.

    tests/tensorboard_test.py [BUILD]     needs tensorboard; BUILD (default build) holds simclr
"""
import json
import os
import subprocess
import sys
import tempfile

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

build = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else 'build')
with tempfile.TemporaryDirectory() as folder:
    run = f'{folder}/run'
    command = [f'{build}/simclr', 'train', '-o', run, '--arch', 'resnet18', '--width', '0.25', '--image-size', '16', '--batch-size', '8',
               '--limit', '32', '--epochs', '3', '--out-dim', '16']
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    for resumed in False, True:
        if resumed:  # one epoch's line is lost, and its event with it
            lines = open(f'{run}/metrics.jsonl').readlines()
            open(f'{run}/metrics.jsonl', 'w').writelines(lines[:-1])
            subprocess.run(command + ['--resume'], check=True, stdout=subprocess.DEVNULL)
        expected = {}
        for line in open(f'{run}/metrics.jsonl'):
            record = json.loads(line)
            time = record['perf'].pop('time')
            record.update({f'perf/{key}': value for key, value in record.pop('perf').items()})
            record.pop('epoch')
            step = record.pop('step')
            for tag, value in record.items():
                expected.setdefault(tag, []).append((step, time, value))
        events = EventAccumulator(run).Reload()
        tags = events.Tags()['scalars']
        if sorted(tags) != sorted(expected):
            sys.exit(f'TensorBoard has {sorted(tags)}, metrics.jsonl {sorted(expected)}')
        for tag, points in expected.items():
            read = [(e.step, e.wall_time, e.value) for e in events.Scalars(tag)]
            if len(read) != len(points) or any(a[:2] != b[:2] or abs(a[2] - b[2]) > 1e-6 * abs(b[2]) for a, b in zip(read, points)):
                sys.exit(f'{tag}: TensorBoard has {read}, metrics.jsonl {points}')
        print(f'{"resumed" if resumed else "trained"}: {len(expected)} tags of {len(expected["loss"])} points')
