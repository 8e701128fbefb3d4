#!/usr/bin/env python3
"""Writes tests/fixtures/training.safetensors: NT-Xent and optimisers as PyTorch has them, in double. Needs torch and numpy.

LARS is not in PyTorch: it is written out below as Google's SimCLR has it (the rate inside the momentum, the norm of the gradient
after the decay is added).
"""
import json
import os
import struct

import numpy as np
import torch
import torch.nn.functional as F

STEPS = 5
SIZES = {'weight': 37, 'zero': 6, 'bias': 5}  # 'zero' is a weight that starts at 0
DECAY, MOMENTUM, ETA = 0.01, 0.9, 0.001


def ntxent(z, tau):
    u = F.normalize(z, dim=1)
    rows = z.shape[0]
    logits = (u @ u.T / tau).masked_fill(torch.eye(rows, dtype=torch.bool), float('-inf'))
    return F.cross_entropy(logits, (torch.arange(rows) + rows // 2) % rows)


def lars(start, grads, rates):
    w, v = {n: a.copy() for n, a in start.items()}, {n: np.zeros_like(a) for n, a in start.items()}
    for step, lr in enumerate(rates):
        for n in w:
            excluded = n == 'bias'
            g = grads[n][step] + (0.0 if excluded else DECAY * w[n])
            w_norm, g_norm = np.linalg.norm(w[n]), np.linalg.norm(g)
            trust = ETA * w_norm / g_norm if not excluded and w_norm > 0 and g_norm > 0 else 1.0
            v[n] = MOMENTUM * v[n] + lr * trust * g
            w[n] = w[n] - v[n]
    return w


def descend(make, start, grads, rates):
    params = {n: torch.tensor(a, requires_grad=True) for n, a in start.items()}
    optimizer = make(list(params.values()))
    for step, lr in enumerate(rates):
        for group in optimizer.param_groups:
            group['lr'] = lr
        for n, p in params.items():
            p.grad = torch.tensor(grads[n][step])
        optimizer.step()
    return {n: p.detach().numpy() for n, p in params.items()}


def write(path, tensors):
    header, data = {}, b''
    for name, value in tensors.items():
        raw = np.ascontiguousarray(value, dtype='<f4').tobytes()
        header[name] = {'dtype': 'F32', 'shape': list(np.shape(value)), 'data_offsets': [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text + data)


def main():
    rng, tensors = np.random.default_rng(7), {}
    for name, rows, d, tau in (('small', 12, 5, 0.5), ('wide', 6, 33, 0.125), ('tiles', 132, 8, 0.0625)):
        z = torch.tensor(rng.standard_normal((rows, d)).astype(np.float32).astype(np.float64), requires_grad=True)
        loss = ntxent(z, tau)
        loss.backward()
        tensors |= {f'ntxent.{name}.z': z.detach().numpy(), f'ntxent.{name}.tau': [tau], f'ntxent.{name}.loss': [loss.item()],
                    f'ntxent.{name}.dz': z.grad.numpy()}

    def draw(*shape):
        return rng.standard_normal(shape).astype(np.float32).astype(np.float64)

    start = {n: draw(count) * (n != 'zero') for n, count in SIZES.items()}
    grads = {n: draw(STEPS, count) for n, count in SIZES.items()}
    rates = [0.015625, 0.03125, 0.046875, 0.0625, 0.03125]
    for n in SIZES:
        tensors |= {f'optim.start.{n}': start[n], f'optim.grads.{n}': grads[n]}
    tensors['optim.rates'] = rates
    results = {
        'sgd': descend(lambda p: torch.optim.SGD(p, 1.0, momentum=MOMENTUM, weight_decay=DECAY), start, grads, rates),
        'nesterov': descend(lambda p: torch.optim.SGD(p, 1.0, momentum=MOMENTUM, weight_decay=DECAY, nesterov=True), start, grads,
                            rates),
        'adam': descend(lambda p: torch.optim.Adam(p, 1.0, weight_decay=DECAY), start, grads, rates),
        'adamw': descend(lambda p: torch.optim.AdamW(p, 1.0, weight_decay=DECAY), start, grads, rates),
        'lars': lars(start, grads, rates),
    }
    for kind, result in results.items():
        tensors |= {f'optim.{kind}.{n}': result[n] for n in SIZES}
    write(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'fixtures', 'training.safetensors'), tensors)


if __name__ == '__main__':
    main()
