#!/usr/bin/env python3
"""What others make of exported encoders: onnx's checker and onnxruntime of .onnx, torchvision of .safetensors; and whether training can
begin from torchvision's own weights. Features of the same random pixels are compared with the program's.

    tests/export_test.py onnx  [BUILD]     needs onnx and onnxruntime
    tests/export_test.py torch [BUILD]     needs torch, torchvision and safetensors

BUILD (default build) holds simclr and tests/features. Prints the largest differences, relative to the largest feature; 1e-4 is allowed.
"""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

ALLOWED = 1e-4
# arch, width, stem, pixels, channels, other settings
NETWORKS = [('resnet18', 0.25, 'cifar', 32, 3, ['--head-norm', '--head-layers', '3']),
            ('resnet34', 0.5, 'cifar', 24, 1, ['--head-layers', '1']),
            ('resnet18', 1, 'imagenet', 64, 3, []),
            ('resnet50', 1, 'imagenet', 96, 3, [])]
build = os.path.abspath(sys.argv[2] if len(sys.argv) > 2 else 'build')


def simclr(*arguments, code=0):
    done = subprocess.run([f'{build}/simclr', *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != code:
        sys.exit(f'simclr {" ".join(map(str, arguments))}: exit code {done.returncode}\n{done.stdout}{done.stderr}')
    return done.stdout + done.stderr


def train(run, arch, width, stem, size, channels, more):
    """A few steps, so that no statistics are the initial ones."""
    return simclr('train', '-o', run, '--arch', arch, '--width', width, '--stem', stem, '--image-size', size, '--channels', channels,
                  '--batch-size', 4, '--limit', 8, '--epochs', 1, '--knn-every', 0, '--out-dim', 16, '--optimizer', 'sgd', *more)


def pixels(rows, size, channels):
    return np.random.default_rng(rows).random((rows, size, size, channels), dtype=np.float32)


def ours(run, x, z_columns=16):
    out = subprocess.run([f'{build}/tests/features', run, str(len(x))], input=x.tobytes(), stdout=subprocess.PIPE, check=True).stdout
    flat = np.frombuffer(out, np.float32)
    h = flat[:flat.size - z_columns * len(x)]
    return h.reshape(len(x), -1), flat[h.size:].reshape(len(x), -1)


def compare(what, theirs, expected):
    worst = float(np.abs(theirs - expected).max() / np.abs(expected).max())
    print(f'{what}: largest difference {worst:.1e}', flush=True)
    if theirs.shape != expected.shape or not worst <= ALLOWED:
        sys.exit(f'{what}: shapes {theirs.shape} and {expected.shape}, difference {worst}')


def nchw(x):
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def test_onnx(folder):
    import onnx
    import onnxruntime
    print(f'onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}')
    for number, network in enumerate(NETWORKS):
        run, name = f'{folder}/{number}', f'{network[0]} x{network[1]}, {network[2]} stem, {network[3]} px'
        train(run, *network)
        for head in False, True:
            file = f'{run}-{head}.onnx'
            simclr('export', run, '-o', file, *(['--head'] if head else []))
            onnx.checker.check_model(file, full_check=True)
            session = onnxruntime.InferenceSession(file, providers=['CPUExecutionProvider'])
            for rows in 1, 7:
                x = pixels(rows, network[3], network[4])
                for output, theirs, expected in zip('hz', session.run(None, {'images': nchw(x)}), ours(run, x)):
                    compare(f'{name}, {rows} images, {output}', theirs, expected)
        assert len(session.get_outputs()) == 2
        wide = session.run(['h'], {'images': np.zeros((2, network[4], 40, 72), np.float32)})[0]
        assert wide.shape == (2, session.get_outputs()[0].shape[1]), 'another height and width'


def torch_features(model, x):
    import torch
    with torch.no_grad():
        return model.eval()(torch.from_numpy(nchw(x))).numpy()


def test_torch(folder):
    import torch
    import torchvision
    from safetensors.torch import load_file, save_file
    print(f'torch {torch.__version__}, torchvision {torchvision.__version__}')
    for arch in 'resnet18', 'resnet50':
        run, network = f'{folder}/{arch}', (arch, 1, 'imagenet', 64, 3, [])
        x = pixels(5, 64, 3)
        train(run, *network)
        for head in False, True:
            simclr('export', run, '-o', f'{run}-{head}.safetensors', *(['--head'] if head else []))
            model = torchvision.models.__dict__[arch]()
            width, model.fc = model.fc.in_features, torch.nn.Identity()
            if head:
                model.head = torch.nn.Sequential(torch.nn.Linear(width, width), torch.nn.ReLU(), torch.nn.Linear(width, 16))
            model.load_state_dict(load_file(f'{run}-{head}.safetensors'), strict=True)
            compare(f'{arch}, h in torchvision', torch_features(model, x), ours(run, x)[0])
            if head:
                with torch.no_grad():
                    z = model.head(torch.from_numpy(torch_features(model, x))).numpy()
                compare(f'{arch}, z in torchvision', z, ours(run, x)[1])

        check_classifier(run, arch)

        # The other way: training that begins from torchvision's weights, and has learnt nothing yet.
        torch.manual_seed(1)
        model = torchvision.models.__dict__[arch]()
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
                torch.nn.init.normal_(module.running_mean, 0, 0.1)
        save_file(model.state_dict(), f'{folder}/{arch}.safetensors')
        said = train(f'{run}-init', *network[:5], ['--init', f'{folder}/{arch}.safetensors', '--lr', 0, '--wd', 0])
        assert 'fc.bias' in said, said
        check_begun(f'{run}-init', model, arch)


def check_classifier(run, arch):
    """A fine-tuned one, fc included, is torchvision's, and tells the same of the same bytes."""
    import torch
    import torchvision
    from safetensors.torch import load_file
    simclr('finetune', run, '--limit', 20, '--epochs', 1, '--batch-size', 4, '-o', f'{run}-tuned')
    model = torchvision.models.__dict__[arch](num_classes=10)
    model.load_state_dict(load_file(f'{run}-tuned/classifier.safetensors'), strict=True)
    images = np.random.default_rng(1).integers(0, 256, (5, 64, 64, 3), np.uint8)
    np.save(f'{run}.npy', images)
    told = json.loads(simclr('predict', f'{run}-tuned', f'{run}.npy', '--json', '--top', 10))
    names = open(f'{run}-tuned/classes.txt').read().splitlines()
    theirs = torch.softmax(torch.from_numpy(torch_features(model, images.astype(np.float32) / 255)), 1).numpy()
    of_class = [{c['class']: c['probability'] for c in row['classes']} for row in told]
    compare(f'{arch}, classes in torchvision', theirs, np.array([[row[name] for name in names] for row in of_class], np.float32))


def check_begun(run, model, arch):
    """Without a learning rate a run keeps its weights; of a norm only the running statistics move."""
    import torch
    from safetensors.torch import load_file
    simclr('export', run, '-o', f'{run}.safetensors')
    tensors, state = load_file(f'{run}.safetensors'), model.state_dict()
    for name, t in tensors.items():
        if 'running' not in name and 'num_batches' not in name:
            assert torch.equal(t, state[name]), name
    model.fc = torch.nn.Identity()
    model.load_state_dict(tensors, strict=True)
    x = pixels(5, 64, 3)
    compare(f'{arch}, h of a run that began from torchvision\'s weights', torch_features(model, x), ours(run, x)[0])


with tempfile.TemporaryDirectory() as folder:
    {'onnx': test_onnx, 'torch': test_torch}[sys.argv[1]](folder)
