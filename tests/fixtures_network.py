#!/usr/bin/env python3
"""Writes tests/fixtures/network_*.txt: what PyTorch (in double precision) says of small ResNets. Needs torch and numpy.

Weights and images come from a hash that test_network.c repeats bit for bit, so none are stored. A tensor is stored as a line
`name count norm p0 ... p15`: its L2 norm and its dot products with 16 vectors of random signs. The root mean square of the
differences of those products estimates the L2 norm of the difference of the tensors.
"""
import os
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

PROJECTIONS, STEPS, TAU = 16, 5, 0.5
MOMENTUM, WEIGHT_DECAY = 0.9, 5e-4
SIGN_SEED = 1000


def bits(seed, count):
    x = np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B9) + np.uint32(seed * 0x85EBCA6B % 2**32)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    return x ^ (x >> np.uint32(16))


def uniform(seed, count):  # [-1, 1), exact in float32
    return ((bits(seed, count) >> np.uint32(8)).astype(np.int32) - 2**23).astype(np.float32) * np.float32(2.0**-23)


def images(seed, count, size, channels):
    """(rows, H, W, C): quadrants of an image's own colours, the same in both of its views, under noise."""
    rows = 2 * count
    n, y, x, c = np.meshgrid(np.arange(rows), np.arange(size), np.arange(size), np.arange(channels), indexing='ij')
    quadrant = ((n % count * 2 + 2 * y // size) * 2 + 2 * x // size) * channels + c
    colour = uniform(seed, int(quadrant.max()) + 1)[quadrant]
    noise = uniform(seed + 1, quadrant.size).reshape(quadrant.shape)
    return (np.float32(0.5) + np.float32(0.25) * colour) + np.float32(0.125) * noise


class Block(nn.Module):
    def __init__(self, cin, planes, stride, bottleneck):
        super().__init__()
        specs = [(planes, 1, 1), (planes, 3, stride), (4 * planes, 1, 1)] if bottleneck else [(planes, 3, stride), (planes, 3, 1)]
        self.count, c = len(specs), cin
        for i, (k, r, s) in enumerate(specs, 1):
            setattr(self, f'conv{i}', nn.Conv2d(c, k, r, s, r // 2, bias=False))
            setattr(self, f'bn{i}', nn.BatchNorm2d(k))
            c = k
        self.downsample = None
        if stride != 1 or cin != c:
            self.downsample = nn.Sequential(nn.Conv2d(cin, c, 1, stride, bias=False), nn.BatchNorm2d(c))
        self.cout = c

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f'bn{i}')(getattr(self, f'conv{i}')(y))
            if i < self.count:
                y = F.relu(y)
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Net(nn.Module):
    def __init__(self, depth, width, stem, channels, head_layers, head_norm, out_dim):
        super().__init__()
        blocks = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}[depth]
        c = int(64 * width)
        self.pool = stem == 'imagenet'
        self.conv1 = nn.Conv2d(channels, c, 7, 2, 3, bias=False) if self.pool else nn.Conv2d(channels, c, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c)
        for stage, count in enumerate(blocks):
            layer = []
            for b in range(count):
                layer.append(Block(c, int(64 * width * 2**stage), 2 if stage and not b else 1, depth >= 50))
                c = layer[-1].cout
            setattr(self, f'layer{stage + 1}', nn.Sequential(*layer))
        head = []
        for _ in range(head_layers - 1):
            head += [nn.Linear(c, c)] + ([nn.BatchNorm1d(c)] if head_norm else []) + [nn.ReLU()]
        self.head = nn.Sequential(*head, nn.Linear(c, out_dim))

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        if self.pool:
            x = F.max_pool2d(x, 3, 2, 1)
        h = self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3))
        return h, self.head(h)


def set_weights(net):
    for i, p in enumerate(net.parameters()):
        u = uniform(i, p.numel())
        if p.ndim == 4:    # variance of He-normal, fan out
            u = u * np.float32(np.sqrt(6 / (p.shape[0] * p.shape[2] * p.shape[3])))
        elif p.ndim == 2:
            u = u * np.float32(1 / np.sqrt(p.shape[1]))
        else:
            u = u * np.float32(0.125)
        p.data = torch.from_numpy(u.reshape(p.shape))
    for m in net.modules():
        if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)):
            m.weight.data += np.float32(1)
    for m in net.modules():  # branches smaller than their sums: or else rounding errors grow from block to block
        if isinstance(m, Block):
            getattr(m, f'bn{m.count}').weight.data *= np.float32(0.25)


def loss_of(z):
    u = F.normalize(z, dim=1)
    s = (u @ u.T / TAU).fill_diagonal_(float('-inf'))
    n = len(z) // 2
    return F.cross_entropy(s, torch.cat([torch.arange(n) + n, torch.arange(n)]))


def describe(out, name, tensor):
    t = tensor.detach().double().reshape(-1).numpy()
    dots = [float(np.dot(t, 1.0 - 2.0 * (bits(SIGN_SEED + p, len(t)) >> np.uint32(31)))) for p in range(PROJECTIONS)]
    out.write(' '.join([name, str(len(t)), f'{np.linalg.norm(t):.9g}'] + [f'{d:.9g}' for d in dots]) + '\n')


def forward(net, x, micro_batch):
    """Both views of so many images at a time, with their own norms' statistics, in one graph."""
    n, hs, zs = len(x) // 2, ([], []), ([], [])
    for first in range(0, n, micro_batch):
        last = min(first + micro_batch, n)
        h, z = net(torch.cat([x[first:last], x[n + first:n + last]]))
        for view in range(2):
            hs[view].append(h[view * (last - first):(view + 1) * (last - first)])
            zs[view].append(z[view * (last - first):(view + 1) * (last - first)])
    return torch.cat(hs[0] + hs[1]), torch.cat(zs[0] + zs[1])


def write(file, depth, width, stem, channels, count, size, head_layers, head_norm, out_dim, lr, seed, micro_batch=None):
    torch.manual_seed(0)
    net = Net(depth, width, stem, channels, head_layers, head_norm, out_dim)
    set_weights(net)
    net = net.double()
    x = torch.from_numpy(images(seed, count, size, channels)).permute(0, 3, 1, 2).double()
    optim = torch.optim.SGD(net.parameters(), lr, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    losses = []
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'fixtures', file), 'w') as out:
        for step in range(STEPS):
            optim.zero_grad()
            h, z = forward(net, x, micro_batch or count)
            loss = loss_of(z)
            loss.backward()
            losses.append(loss.item())
            if step == 0:
                describe(out, 'h', h)
                describe(out, 'z', z)
                for name, p in net.named_parameters():
                    describe(out, name, p.grad)
                for name, b in net.named_buffers():
                    if b.ndim:
                        describe(out, name, b)
                net.eval()
                describe(out, 'eval.h', net(x)[0])
                net.train()
            optim.step()
        out.write('losses ' + ' '.join(f'{v:.9g}' for v in losses) + '\n')


# The seeds of the images are chosen so that no input of a ReLU in the first step is nearer to 0 than rounding errors reach; of the
# bottlenecks, in none of the steps: later losses would jump by 1e-4 with the side that one of them falls on.
write('network_basic.txt', 18, 0.25, 'cifar', 3, 4, 8, 3, True, 32, lr=0.01, seed=1014)
write('network_plain_head.txt', 18, 0.25, 'cifar', 1, 4, 12, 2, False, 32, lr=0.02, seed=932)
write('network_bottleneck.txt', 50, 0.125, 'imagenet', 3, 4, 40, 1, False, 32, lr=0.0003, seed=1335)
write('network_micro_batch.txt', 18, 0.25, 'cifar', 3, 6, 16, 2, False, 32, lr=0.01, seed=1006, micro_batch=4)
