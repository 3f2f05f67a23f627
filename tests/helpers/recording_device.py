"""What a CUDA graph does, on the CPU: remembers the operators of some work and the memory they touch, and repeats them.

Host code of the work does not run again: whatever it read in the first run is what every repetition uses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from s2v.engine.backends.torch.device import TorchCpuDevice

# These make the host wait for a number, or for a size that depends on numbers: a capture would fail.
WAITING = {"_local_scalar_dense", "item", "nonzero", "masked_select", "unique", "unique2", "_unique2", "is_nonzero"}
WAITING |= {"equal", "allclose", "bincount", "_linalg_check_errors", "repeat_interleave", "tolist"}


class NoWaiting(TorchDispatchMode):
    """Refuses operators that a CUDA graph cannot hold."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.split("::")[1]
        picks = name in ("index", "index_put", "index_put_") and any(
            isinstance(leaf, torch.Tensor) and leaf.dtype == torch.bool for leaf in tree_leaves(args[1])
        )
        if name in WAITING or picks:
            raise AssertionError(f"{name} asks the device for a number")
        return func(*args, **(kwargs or {}))


class RecordingDevice(TorchCpuDevice):
    """Fills `TorchDevice`."""

    def __init__(self) -> None:
        super().__init__()
        self.recorded = 0  # operators, in all that was captured

    def capture(self, work: Callable[[], None], exact: bool = False) -> Callable[[], None]:
        work()
        steps: list[tuple[Any, Any, Any, Any]] = []
        with NoWaiting(), _Recorder(steps):  # type: ignore[no-untyped-call]  # torch does not say
            work()
        self.recorded += len(steps)

        def replay() -> None:
            for func, args, kwargs, results in steps:
                again = func(*args, **kwargs)
                for kept, new in zip(tree_leaves(results), tree_leaves(again), strict=True):
                    if isinstance(kept, torch.Tensor) and kept.data_ptr() != new.data_ptr():
                        kept.copy_(new)

        return replay


class _Recorder(TorchDispatchMode):
    def __init__(self, steps: list[tuple[Any, Any, Any, Any]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._steps = steps

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = func(*args, **(kwargs or {}))
        self._steps.append((func, args, kwargs or {}, results))
        return results
