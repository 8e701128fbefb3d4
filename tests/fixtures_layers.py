#!/usr/bin/env python3
"""Writes tests/fixtures/layers_*.safetensors: what PyTorch says of convolution, batch norm, linear layers and pooling.

Inputs are float32; PyTorch computes in double, and results are rounded to float32. Images are (N, H, W, C), weights of
convolutions (R, S, C, K), of linear layers (in, out). Needs torch and numpy.
"""
import torch
import torch.nn.functional as F

from fixture_io import write_safetensors

generator = torch.Generator().manual_seed(0)


def random(*shape):
    return torch.randn(*shape, generator=generator).double().requires_grad_()


def nchw(x):
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1)


def backward(y):
    dy = torch.randn(y.shape, generator=generator).double()
    y.backward(dy)
    return dy


def numpy(**tensors):
    return {name: t.detach().float().numpy() for name, t in tensors.items()}


def add(file, prefix, **tensors):
    file.update({f'{prefix}.{name}': array for name, array in numpy(**tensors).items()})


def conv():
    file = {}
    for n, h, w, c, k, r, stride, pad in ((2, 6, 6, 8, 12, 3, 1, 1), (2, 7, 6, 10, 12, 3, 2, 1), (1, 13, 12, 3, 12, 7, 2, 3),
                                          (2, 5, 6, 12, 20, 1, 1, 0), (2, 7, 6, 12, 20, 1, 2, 0)):
        x, weight = random(n, h, w, c), random(r, r, c, k)
        y = nhwc(F.conv2d(nchw(x), weight.permute(3, 2, 0, 1), stride=stride, padding=pad))
        dy = backward(y)
        add(file, f'n{n}_h{h}_w{w}_c{c}_k{k}_r{r}_s{stride}_p{pad}', x=x, w=weight, y=y, dy=dy, dx=x.grad, dw=weight.grad)
    write_safetensors('layers_conv.safetensors', file)


def norm():
    file = {}
    for name, rows, c, has_residual, relu in (('plain', 50, 20, False, False), ('relu', 70, 16, False, True),
                                              ('residual', 129, 12, True, True)):
        x, gain, bias = random(rows, c), random(c), random(c)
        residual = random(rows, c) if has_residual else None
        layer = torch.nn.BatchNorm1d(c).double()  # over (rows, c) the same as BatchNorm2d over (n, c, h, w)
        layer.running_mean = random(c).detach().float().double()
        layer.running_var = random(c).detach().abs().float().double()
        before = dict(running_mean=layer.running_mean.clone(), running_var=layer.running_var.clone())

        def forward():
            y = F.batch_norm(x * 3 + 5, layer.running_mean, layer.running_var, gain, bias, layer.training, 0.1, 1e-5)
            y = y + residual if has_residual else y
            return F.relu(y) if relu else y

        layer.eval()
        inference = forward()
        layer.train()
        y = forward()
        dy = backward(y)
        add(file, name, x=x * 3 + 5, gain=gain, bias=bias, **before, inference=inference, y=y, mean_after=layer.running_mean,
            var_after=layer.running_var, dy=dy, dx=x.grad / 3, dgain=gain.grad, dbias=bias.grad)
        if has_residual:
            add(file, name, residual=residual, dres=residual.grad)
    write_safetensors('layers_norm.safetensors', file)


def linear():
    file = {}
    for rows, inputs, outputs, relu in ((70, 20, 33, True), (9, 40, 16, False)):
        x, weight, bias = random(rows, inputs), random(inputs, outputs), random(outputs)
        y = x @ weight + bias
        y = F.relu(y) if relu else y
        dy = backward(y)
        add(file, 'relu' if relu else 'plain', x=x, w=weight, bias=bias, y=y, dy=dy, dx=x.grad, dw=weight.grad, dbias=bias.grad)
    write_safetensors('layers_linear.safetensors', file)


def pool():
    file = {}
    x = random(2, 9, 8, 20)
    y = nhwc(F.max_pool2d(nchw(x), 3, 2, 1))
    dy = backward(y)
    add(file, 'max', x=x, y=y, dy=dy, dx=x.grad)
    x = random(3, 5, 4, 20)
    y = x.mean((1, 2))
    dy = backward(y)
    add(file, 'average', x=x, y=y, dy=dy, dx=x.grad)
    write_safetensors('layers_pool.safetensors', file)


if __name__ == '__main__':
    conv()
    norm()
    linear()
    pool()
