"""Memory that frames cross the bus in: pinned on the host, and the same numbers on the device."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s2v.engine.backends.torch.device import TorchDevice
from s2v.engine.compositor.torch.tables.frame_inputs import N_NUMBERS, Inputs
from s2v.engine.compositor.torch.tables.layout import Layout
from s2v.spec import TRACT_VARIABLES


class StagingBuffers:
    """The inputs of n frames on both sides, and where finished frames come down to.

    Args:
        layout: of the frames. frames_shape: of all finished frames together, uint8.
    """

    def __init__(self, device: TorchDevice, layout: Layout, n: int, frames_shape: tuple[int, ...]) -> None:
        sizes = [n * N_NUMBERS, n * (layout.n_motion + 1), n * len(TRACT_VARIABLES)]

        def views(block: Tensor) -> Inputs:
            return Inputs(*(part.view(n, -1) for part in torch.split(block, sizes)))

        self._host_block = device.host(4 * sum(sizes)).view(torch.float32)
        self._host = views(self._host_block)
        self._host.weights[:, -1] = 1
        self._frames = device.host(int(np.prod(frames_shape))).view(frames_shape)
        with device.running():
            self._device_block = torch.zeros(sum(sizes), device=device.device)
            self._device_block.copy_(self._host_block)
            self.on_device = views(self._device_block)

    @property
    def n_bytes(self) -> int:
        """Of device memory."""
        return self._device_block.nbytes

    def upload(self, numbers: NDArray[np.float32], motion: NDArray[np.floating], tract: NDArray[np.floating]) -> None:
        """Queue the upload of all inputs. Within `running`."""
        self._host.numbers.numpy()[:] = numbers
        self._host.motion.numpy()[:] = motion
        self._host.tract.numpy()[:] = tract
        self._device_block.copy_(self._host_block, non_blocking=True)

    def upload_beside(self, numbers: NDArray[np.float32], motion: Tensor, tract: Tensor) -> None:
        """The same, of a network's outputs that are on the device already: only the numbers come from the host."""
        self._host.numbers.numpy()[:] = numbers
        self.on_device.numbers.copy_(self._host.numbers, non_blocking=True)
        self.on_device.motion.copy_(motion, non_blocking=True)
        self.on_device.tract.copy_(tract, non_blocking=True)

    def download(self, frames: Tensor) -> NDArray[np.uint8]:
        """Queue the download of finished frames. Within `running`. Returns: where they will be, reused next time."""
        self._frames.copy_(frames, non_blocking=True)
        pixels: NDArray[np.uint8] = self._frames.numpy()
        return pixels
