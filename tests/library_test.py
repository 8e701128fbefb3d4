"""The ctypes example's NT-Xent beside PyTorch's: committed figures of it, and itself where it is installed.

    LIBSIMCLR=... python3 tests/library_test.py FOLDER      FOLDER: of nt_xent.py
"""
import json
import os
import struct
import sys

import numpy

sys.path.insert(0, sys.argv[1])
import nt_xent

TOLERANCE = 1e-5


def fixtures():
    """(name, z, tau, loss, dz) that tests/fixtures_training.py had from PyTorch, in double."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'fixtures', 'training.safetensors'), 'rb') as file:
        size, = struct.unpack('<Q', file.read(8))
        header, data = json.loads(file.read(size)), file.read()
    header.pop('__metadata__', None)

    def get(name):
        begin, end = header[name]['data_offsets']
        return numpy.frombuffer(data[begin:end], {'F32': '<f4'}[header[name]['dtype']]).reshape(header[name]['shape'])

    names = sorted(key[:-2] for key in header if key.startswith('ntxent.') and key.endswith('.z'))
    return [(name, get(f'{name}.z'), float(get(f'{name}.tau')[0]), float(get(f'{name}.loss')[0]), get(f'{name}.dz')) for name in names]


def by_torch(torch):
    for rows, dim, tau in ((2, 3, 1.0), (64, 16, 0.07), (514, 128, 0.5)):
        z = torch.randn(rows, dim, dtype=torch.float32, generator=torch.Generator().manual_seed(rows)).requires_grad_()
        u = torch.nn.functional.normalize(z.double())
        logits = (u @ u.T / tau).masked_fill(torch.eye(rows, dtype=torch.bool), -torch.inf)
        loss = torch.nn.functional.cross_entropy(logits, (torch.arange(rows) + rows // 2) % rows)
        loss.backward()
        yield f'PyTorch {torch.__version__}, {rows} x {dim}', z.detach().numpy(), tau, loss.item(), z.grad.numpy()


def compare(engine, name, z, tau, loss, dz):
    got_loss, got_dz = engine.nt_xent(z, tau)
    off = [abs(got_loss - loss) / max(1.0, abs(loss)), numpy.abs(got_dz - dz).max() / max(numpy.abs(dz).max(), 1e-3)]
    print(f'{name}: loss {got_loss:.7f}, off by {off[0]:.1e}; gradient off by {off[1]:.1e} of its largest value')
    assert max(off) < TOLERANCE, name


cases = fixtures()
assert cases, 'no fixtures'
try:
    import torch
    cases += by_torch(torch)
except ImportError:
    print('PyTorch is not installed: only its committed figures are compared')
for isa in ('scalar', 'auto'):
    for case in cases:
        compare(nt_xent.Engine(isa, 2), *case)
try:
    nt_xent.Engine().nt_xent(numpy.zeros((3, 4)), 0.5)
    sys.exit('three rows were not refused')
except RuntimeError as error:
    assert 'rows are even' in str(error), error
