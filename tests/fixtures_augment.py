#!/usr/bin/env python3
"""Writes tests/fixtures/augment_pixels.bin and augment_draws.json: what torch and torchvision make of the same choices.

usage: python3 tests/fixtures_augment.py        (from the repository's root; needs torch)

Pixels: the operations below are torchvision's tensor formulas over torch; where torchvision is importable, each is checked
against it. Draws: statistics of RandomResizedCrop.get_params over N draws, of torchvision itself or the same lines here.

augment_pixels.bin, little-endian, a case after another: 20 int32 (h, w, c, size, clean, top, left, height, width, flip, jitter,
order of 4, grey, blur, kernel, solarize, 0), 6 float32 (brightness, contrast, saturation, hue, sigma, threshold), the source
(h, w, c) bytes padded with zeros to a multiple of 4, the expected view (size, size, c) float32.
"""
import json, math, struct
import torch
import torch.nn.functional as F

try:
    import torchvision.transforms as T
    import torchvision.transforms.functional as TF
except ImportError:
    T = TF = None

OUT = 'tests/fixtures/'
N = 20000


def checked(ours, theirs):
    """ours, after comparing with torchvision's result where there is torchvision."""
    if TF:
        assert (ours - theirs()).abs().max() < 2e-6
    return ours


def grey(x):
    return (0.2989 * x[0] + 0.587 * x[1] + 0.114 * x[2])[None] if len(x) == 3 else x


def blend(a, b, factor):
    return (factor * a + (1 - factor) * b).clamp(0, 1)


def brightness(x, f):
    return checked(blend(x, torch.zeros_like(x), f), lambda: TF.adjust_brightness(x, f))


def contrast(x, f):
    return checked(blend(x, grey(x).mean(), f), lambda: TF.adjust_contrast(x, f))


def saturation(x, f):
    return checked(blend(x, grey(x), f), lambda: TF.adjust_saturation(x, f)) if len(x) == 3 else x


def hue(x, f):
    if len(x) == 1:
        return x
    most, least = x.max(0).values, x.min(0).values
    chroma = most - least
    one = torch.ones_like(most)
    s = chroma / torch.where(chroma == 0, one, most)
    r, g, b = (most - x) / torch.where(chroma == 0, one, chroma)
    h = torch.where(most == x[0], b - g, torch.where(most == x[1], 2 + r - b, 4 + g - r))
    h = (torch.fmod(h / 6 + 1, 1) + f) % 1
    i = torch.floor(h * 6)
    f6 = h * 6 - i
    p, q, t = (most * (1 - s)).clamp(0, 1), (most * (1 - s * f6)).clamp(0, 1), (most * (1 - s * (1 - f6))).clamp(0, 1)
    table = torch.stack([torch.stack(c) for c in
                         ((most, t, p), (q, most, p), (p, most, t), (p, q, most), (t, p, most), (most, p, q))])
    index = (i.long() % 6)[None, None].expand(1, 3, *i.shape)
    return checked(table.gather(0, index)[0], lambda: TF.adjust_hue(x, f))


def blur(x, kernel, sigma):
    half = (kernel - 1) / 2
    w = torch.exp(-0.5 * (torch.linspace(-half, half, kernel) / sigma) ** 2)
    w = w / w.sum()
    pad = kernel // 2
    y = F.conv2d(F.pad(x[:, None], (pad,) * 4, mode='reflect'), torch.outer(w, w)[None, None])[:, 0]
    return checked(y, lambda: TF.gaussian_blur(x, [kernel, kernel], [sigma, sigma]))


def resize(x, h, w):
    return checked(F.interpolate(x[None], (h, w), mode='bilinear', align_corners=False, antialias=True)[0],
                   lambda: TF.resize(x, [h, w], antialias=True))


def clean(x, size):
    h, w = x.shape[1:]
    short = min(h, w)
    H, W = size * h // short, size * w // short
    top, left = int(round((H - size) / 2)), int(round((W - size) / 2))
    y = (resize(x, H, W) if (H, W) != (h, w) else x)[:, top:top + size, left:left + size]
    return checked(y, lambda: TF.center_crop(TF.resize(x, size, antialias=True), [size, size]))


def picture(h, w, c, seed):
    """Smooth colors, noise, and a few exactly grey, black and white pixels."""
    g = torch.Generator().manual_seed(seed)
    x = F.interpolate(torch.rand(1, c, 4, 4, generator=g), (h, w), mode='bicubic', align_corners=False)[0]
    x = (x + .15 * torch.randn(c, h, w, generator=g)).clamp(0, 1)
    x = (x * 255).round().to(torch.uint8)
    x[:, :2, :2] = x[:1, :2, :2]
    x[:, -1, -1], x[:, -1, 0] = 255, 0
    return x


def view(source, size, clean_view, box, flip, order, factors, gr, sigma, kernel, threshold):
    x = source.float() / 255
    if clean_view:
        return clean(x, size)
    top, left, height, width = box
    x = x[:, top:top + height, left:left + width]
    if (height, width) != (size, size):
        x = resize(x, size, size)
    if flip:
        x = x.flip(2)
    for op in order:
        x = (brightness, contrast, saturation, hue)[op](x, factors[op])
    if gr:
        x = checked(grey(x).expand(len(x), -1, -1), lambda: TF.rgb_to_grayscale(x, len(x)))
    if sigma:
        x = blur(x, kernel or size // 10 // 2 * 2 + 1, sigma)
    if threshold >= 0:
        x = checked(torch.where(x >= threshold, 1 - x, x), lambda: TF.solarize(x, threshold))
    return x


def write_case(file, h, w, c=3, size=16, clean_view=0, box=None, flip=0, order=(), factors=(1., 1., 1., 0.), gr=0, sigma=0.,
               kernel=0, threshold=-1.):
    rounded = struct.unpack('6f', struct.pack('6f', *factors, sigma, threshold))  # as the program will read them
    box = box or (0, 0, h, w)
    source = picture(h, w, c, h * 100 + w)
    x = view(source, size, clean_view, box, flip, order, rounded[:4], gr, rounded[4], kernel, rounded[5])
    file.write(struct.pack('20i', h, w, c, size, clean_view, *box, flip, bool(order), *(order or (0, 1, 2, 3)), gr, bool(sigma),
                           kernel, threshold >= 0, 0))
    file.write(struct.pack('6f', *rounded))
    file.write(source.permute(1, 2, 0).contiguous().numpy().tobytes() + bytes(-h * w * c % 4))
    file.write(x.permute(1, 2, 0).contiguous().numpy().tobytes())


def write_pixels():
    with open(OUT + 'augment_pixels.bin', 'wb') as f:
        write_case(f, 24, 20, order=(0, 1, 2, 3), factors=(1.3, .5, 1.6, .15))
        write_case(f, 24, 20, box=(3, 4, 17, 13), flip=1, order=(3, 2, 1, 0), factors=(.6, 1.7, .3, -.2), sigma=1.3, kernel=7)
        write_case(f, 24, 20, box=(5, 2, 16, 16), flip=1, order=(1, 3, 0, 2), factors=(1.7, 1.4, 1.8, -.5), threshold=.5)
        write_case(f, 20, 24, box=(19, 20, 1, 4), order=(2, 0, 3, 1), factors=(.9, .2, .2, .5), gr=1)
        write_case(f, 20, 24, box=(7, 9, 1, 1), flip=1)
        write_case(f, 13, 9, box=(1, 0, 5, 9), size=24, flip=1, order=(0, 3, 1, 2), factors=(1.1, .8, .4, .05), sigma=.4)
        write_case(f, 90, 71, size=8, order=(3, 1, 0, 2), factors=(1.2, 1.8, 0., .1))
        write_case(f, 33, 50, box=(0, 0, 33, 16), sigma=2., kernel=31)
        write_case(f, 19, 33, c=1, size=12, flip=1, order=(1, 0, 3, 2), factors=(1.4, .7, 1.5, .2), gr=1, sigma=.9, kernel=5,
                   threshold=.7)
        write_case(f, 24, 20, size=40, sigma=1.1)
        for h, w, c, size in ((24, 40, 3, 16), (21, 16, 3, 16), (16, 16, 3, 16), (16, 19, 3, 16), (10, 13, 3, 16), (31, 17, 1, 8)):
            write_case(f, h, w, c=c, size=size, clean_view=1)


def get_params(h, w, scale, ratio):
    if T:
        return T.RandomResizedCrop.get_params(torch.empty(3, h, w), scale, ratio)
    for _ in range(10):
        area = h * w * torch.empty(1).uniform_(*scale).item()
        aspect = math.exp(torch.empty(1).uniform_(math.log(ratio[0]), math.log(ratio[1])).item())
        cw, ch = int(round(math.sqrt(area * aspect))), int(round(math.sqrt(area / aspect)))
        if 0 < cw <= w and 0 < ch <= h:
            return (torch.randint(0, h - ch + 1, (1,)).item(), torch.randint(0, w - cw + 1, (1,)).item(), ch, cw)
    if w / h < min(ratio):
        cw, ch = w, int(round(w / min(ratio)))
    elif w / h > max(ratio):
        ch, cw = h, int(round(h * max(ratio)))
    else:
        cw, ch = w, h
    return (h - ch) // 2, (w - cw) // 2, ch, cw


def write_draws():
    """Per geometry: ten equal bins over [0, 1] of four quantities, and how many draws are the box that ten failures give."""
    torch.manual_seed(0)
    sets = []
    usual = (.08, 1.), (3 / 4, 4 / 3)
    for h, w, scale, ratio in ((32, 32, *usual), (96, 96, *usual), (375, 500, *usual), (40, 200, *usual), (300, 20, *usual),
                               (64, 48, (.2, .6), (.5, 2.)), (7, 5, *usual), (1, 1, *usual)):
        bins = {name: [0] * 10 for name in ('area', 'aspect', 'y', 'x')}
        fallbacks, box = 0, None
        if w / h < ratio[0]:
            box = (w, int(round(w / ratio[0])))
        elif w / h > ratio[1]:
            box = (int(round(h * ratio[1])), h)
        for _ in range(N):
            top, left, ch, cw = get_params(h, w, scale, ratio)
            fallbacks += box == (cw, ch)
            low, high = math.log(ratio[0] / 1.5), math.log(ratio[1] * 1.5)
            for name, value in (('area', ch * cw / (h * w)), ('aspect', (math.log(cw / ch) - low) / (high - low)),
                                ('y', (top + ch / 2) / h), ('x', (left + cw / 2) / w)):
                bins[name][min(9, max(0, int(value * 10 + 1e-9)))] += 1  # a square, say, lies on an edge
        sets.append({'h': h, 'w': w, 'scale': scale, 'ratio': ratio, 'fallbacks': fallbacks, **bins})
    with open(OUT + 'augment_draws.json', 'w') as f:
        f.write('{"draws": %d, "sets": [\n%s\n]}\n' % (N, ',\n'.join(json.dumps(s) for s in sets)))


write_pixels()
write_draws()
