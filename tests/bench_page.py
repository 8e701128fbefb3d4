#!/usr/bin/env python3
"""The page that bench --html writes: well-formed, complete, self-contained, every name escaped.

    tests/bench_page.py build/bench FOLDER     runs a few rows of every kind and checks their page (FOLDER is for its files)
"""
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as xml

FILTER = '^(gemm|conv3x3.fwd|norm.bwd|ntxent|blur.f32|u8_to_f32|pack_b|transpose|maxpool|step)/|<b id="x">&amp;\'</b>'


def check(holds, what):
    if not holds:
        sys.exit(f'bench_page.py: {what}')


def text(element):
    return ''.join(element.itertext())


def number(value):
    """As the page writes numbers: three digits that count."""
    return float(f'{value:.3g}')


bench, folder = sys.argv[1:]
page, rows_file = os.path.join(folder, 'page.html'), os.path.join(folder, 'page.json')

refused = subprocess.run([bench, '--quick', '--html', os.path.join(folder, 'no such folder', 'page.html')], capture_output=True, text=True)
check(refused.returncode == 2 and 'cannot be written' in refused.stderr, 'a page that cannot be written must be refused at once, with 2')

environment = dict(os.environ, OMP_WAIT_POLICY='passive')  # threads that spin hold up those of other programs
run = subprocess.run([bench, '--quick', '--filter', FILTER, '--html', page, f'--benchmark_out={rows_file}'],
                     capture_output=True, text=True, env=environment)
check(run.returncode in (0, 1), f'bench ended with {run.returncode}: {run.stderr}')  # 1: times that a loaded machine disturbed
with open(rows_file) as file:
    ran = json.load(file)
with open(page, encoding='utf-8') as file:
    source = file.read()
rows = {row['name']: row for row in ran['benchmarks']}
isas = ran['context']['isas'].split()
check(len(rows) > 20 * len(isas), 'too few rows ran')

root = xml.fromstring(source)  # throws where it is not well-formed
parents = {child: parent for parent in root.iter() for child in parent}

# The network: nothing to load, and a policy that forbids it.
check(not re.search(r'https?:|url\(|@import|<link|<img|<iframe|\bsrc=', source), 'the page loads something')
check("default-src 'none'" in source, 'the page has no policy against loading')
ids = [element.get('id') for element in root.iter() if element.get('id')]
check(len(ids) == len(set(ids)), 'an id is used twice')
for element in root.iter():
    for attribute in ('href', 'aria-labelledby'):
        for name in (element.get(attribute) or '').split():
            check(name.lstrip('#') in ids, f'{name} is not on the page')

# Escaping: what was typed is told as it was typed, and made no element.
told = {text(div.find('dt')): text(div.find('dd')) for div in root.iter('div') if div.find('dt') is not None}
check(FILTER in told['command'], f'the command is told as {told["command"]}')
check('x' not in ids, 'a name became an element')
for key in ('cpu', 'caches', 'flags', 'commit', 'threads', 'compiler'):
    check(told[key] == ran['context'][key], f'{key} is told as {told[key]}')

# The table: every row, with its figures.
table = next(t for t in root.iter('table') if t.get('class') == 'rows')
in_table = {}
for row in table.find('tbody'):
    cells = [text(cell) for cell in row]
    in_table['/'.join(cells[:3])] = cells
check(in_table.keys() == rows.keys(), f'the table differs from what ran: {sorted(in_table.keys() ^ rows.keys())}')
for name, cells in in_table.items():
    row = rows[name]
    for cell, counter in ((cells[4], 'GFLOP/s'), (cells[6], 'GB/s')):
        check(abs(float(cell) - row[counter]) <= 0.006 * row[counter] + 1e-6, f'{name}: {counter} is {row[counter]}, the table says {cell}')
    check(bool(cells[5]) == ('effective_GFLOP/s' in row), f'{name}: effective rate')
    check(cells[9] == row['label'], f'{name}: limit')

# The rooflines: one for each ISA, every row on its own, inside the axes, and none on top of a limit.
figures = {text(f.find('figcaption')): f.find('svg') for f in root.iter('figure')}
check(sorted(figures) == sorted(isas), f'rooflines of {sorted(figures)}')
for isa, svg in figures.items():
    check(svg.find('title').text and svg.find('desc').text, f'{isa}: the chart has no title or description')
    width, height = (float(v) for v in svg.get('viewBox').split()[2:])
    drawn = {}
    for point in svg.iter('g'):
        if point.find('title') is not None:
            drawn[point.find('title').text.split('\n')[0]] = point
    check(drawn.keys() == {name for name in rows if name.split('/')[1] == isa}, f'{isa}: rows are missing on the roofline')
    for name, point in drawn.items():
        x, y = (float(v) for v in re.findall(r'[\d.]+', point.get('transform')))
        check(0 < x < width and 0 < y < height, f'{name} is drawn outside')
        limit = float(point.get('data-l'))
        check(abs(limit - y) < 1 or (limit < y) == (rows[name]['pct_peak'] < 100), f'{name}: its limit is on the wrong side')
        check(('effective' in point.find('title').text) == ('effective_GFLOP/s' in rows[name]), f'{name}: effective rate')
    names = sorted((float(t.get('x')), text(t)) for t in svg.iter('text') if 'GB/s' in text(t))
    check(all(b[0] - a[0] > 6.5 * (len(a[1]) + len(b[1])) / 2 for a, b in zip(names, names[1:])), f'{isa}: names of levels touch')

# The bars: zero is where they begin, the longest is whole, and each is as long as its figure says.
bars = [t for t in root.iter('table') if t.get('class') == 'bars']
check(len(isas) == 1 or len(bars) > 10, 'bars are missing')
for table in bars:
    lengths, values = [], []
    for row in table.iter('tr'):
        lengths.append(float(re.fullmatch(r'width:([\d.]+)%', row.find('td/i').get('style')).group(1)))
        values.append(float(text(row.findall('td')[1])))
    check(max(lengths) == 100, 'no bar is whole')
    for length, value in zip(lengths, values):
        check(abs(length - 100 * value / max(values)) < 1, f'{text(table.find("caption"))}: a bar of {length} % for {value} of {max(values)}')

print(f'{len(rows)} rows, {len(figures)} rooflines, {len(bars)} groups of bars: the page is whole')
