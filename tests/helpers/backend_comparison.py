"""What tests of runtimes hand in and compare; needs nothing but numpy."""

from __future__ import annotations

import numpy as np

from s2v.engine.backends.base import Backend, Tensors


def inputs(backend: Backend, batch: int, seed: int = 0) -> tuple[Tensors, np.ndarray]:
    random = np.random.default_rng(seed)
    spec = backend.spec
    encoded = backend.encode_face(random.random((1, 6, spec.face_px, spec.face_px), np.float32))
    identity = {name: np.repeat(rows, batch, axis=0) for name, rows in encoded.items()}
    return identity, random.standard_normal((batch, 1, spec.n_cepstra, spec.n_columns), np.float32)


def copied(tensors: Tensors) -> Tensors:
    return {name: rows.copy() for name, rows in tensors.items()}


def close_to(found: Tensors, wanted: Tensors, tolerance: float = 1e-5) -> None:
    assert found.keys() == wanted.keys()
    for name, rows in wanted.items():
        assert found[name].shape == rows.shape
        assert found[name].dtype == np.float32
        assert np.abs(found[name] - rows).max() < tolerance, name
