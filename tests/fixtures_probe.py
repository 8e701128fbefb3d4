#!/usr/bin/env python3
"""Writes tests/fixtures/probe.safetensors: logistic regression on standardised features as scikit-learn has it. Needs scikit-learn."""
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from fixture_io import write_safetensors


def objective(w, b, x, y, strength):
    z = x @ w + b
    z -= z.max(axis=1, keepdims=True)
    return np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]) + strength / 2 * np.sum(w * w)


def main():
    rng, tensors = np.random.default_rng(5), {}
    for name, rows, d, classes, strength in (('small', 60, 4, 3, 1e-2), ('wide', 150, 24, 5, 1e-1), ('weak', 400, 7, 4, 1e-4)):
        y = rng.integers(0, classes, rows)
        centres = rng.standard_normal((classes, d)) * 1.2
        x = ((centres[y] + rng.standard_normal((rows, d))) * rng.uniform(0.01, 30, d) + rng.uniform(-5, 5, d)).astype(np.float32)
        scaler = StandardScaler().fit(x.astype(np.float64))
        z = scaler.transform(x.astype(np.float64))
        model = LogisticRegression(C=1 / (strength * rows), tol=1e-10, max_iter=10000).fit(z, y)
        w, b = model.coef_.T, model.intercept_
        tensors |= {f'{name}.x': x, f'{name}.labels': y.astype('<i8'), f'{name}.lambda': np.array([strength], '<f4'),
                    f'{name}.weight': w.astype('<f4'), f'{name}.bias': (b - b.mean()).astype('<f4'),
                    f'{name}.deviation': scaler.scale_.astype('<f4'), f'{name}.mean': scaler.mean_.astype('<f4'),
                    f'{name}.loss': np.array([objective(w, b, z, y, strength)], '<f4'),
                    f'{name}.right': np.array([np.sum(model.predict(z) == y)], '<f4')}
    write_safetensors('probe.safetensors', tensors)


if __name__ == '__main__':
    main()
