"""Fixtures of the training room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny batches gain nothing from threads, and on a busy machine threads that wait for each other cost seconds."""
    try:
        import torch
    except ImportError:  # the tests that need it skip themselves
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
