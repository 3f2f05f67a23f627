"""The processes that train one network together: one a GPU, on one machine or several, as `torchrun` starts them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, start_processes
from torch.nn.parallel import DistributedDataParallel

from s2v.errors import DataError, S2vError
from s2v.logs import LogSettings, log_settings, start_logging
from s2v.terminal import guard_streams
from s2v.training.run.norms import share_norms

_AT_MOST = timedelta(hours=2)  # that the others wait while the first one judges the network


@dataclass(frozen=True)
class Processes:
    """This process among those that train together."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether it is the one that evaluates, logs and writes."""
        return self.rank == 0

    def broadcast(self, value: Any) -> Any:
        """The first process's value, on every process."""
        if self.world == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, src=0, device=self.device)
        return values[0]

    def wait(self) -> None:
        """Until all of them are here."""
        if self.world > 1:
            distributed.barrier()

    def together(self, network: nn.Module, objective: nn.Module) -> nn.Module:
        """The objective with gradients averaged over all processes, and norms over the whole batch.

        To be called before an optimiser takes the network's weights. Args: network: part of the objective.
        """
        if self.world == 1:
            return objective
        share_norms(network, self.device)
        ids = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(objective, device_ids=ids, forward_sync_buffers=False)

    def whole(self, part: Tensor) -> Tensor:
        """The parts (n, ...) of all processes joined in the order of their ranks, (world * n, ...).

        A loss over the whole, though each process has only its own part's gradient, has with `together` the gradient
        that one process with all parts has.
        """
        if self.world == 1:
            return part
        sent = part.detach().contiguous()
        sent = sent.to(torch.uint8) if sent.dtype == torch.bool else sent
        parts = [torch.empty_like(sent) for _ in range(self.world)]
        distributed.all_gather(parts, sent)
        found = [one.to(part.dtype) for one in parts]
        own = part.clone()
        if own.requires_grad:
            own.register_hook(lambda gradient: gradient * self.world)  # which the average divides by again
        found[self.rank] = own
        return torch.cat(found)


def processes_wanted(gpus: int | None) -> int:
    """How many processes are to be started here: 1 where torchrun has started them. Args: gpus: None: all there are.

    Raises: DataError, more GPUs than there are.
    """
    there = torch.cuda.device_count()
    if gpus is not None and gpus > there:
        raise DataError(f"-gpu {gpus}: this machine has {there} CUDA GPUs; leave it out to use what is there")
    return 1 if _started_by_torchrun() else max(1, there if gpus is None else gpus)


def is_first_process() -> bool:
    """Of those that torchrun has started; True where it has not."""
    return not _started_by_torchrun() or os.environ.get("RANK", "0") == "0"


@contextmanager
def joined(gpus: int | None) -> Iterator[Processes]:
    """This process among the others, until the block ends; within another such block, as there. Args: gpus: 0: the CPU.

    Raises: DataError, more processes on this machine than it has GPUs.
    """
    rank, world, local = (int(os.environ.get(name, usual)) for name, usual in _VARIABLES.items())
    there = 0 if gpus == 0 else torch.cuda.device_count()
    if there and local >= there:
        raise DataError(f"process {local + 1} of this machine has no GPU of its own: torchrun --nproc-per-node {there}")
    device = torch.device("cuda", local) if there else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if world == 1:
        yield Processes(device)
        return
    if distributed.is_initialized():  # a second meeting at the same place finds the addresses of the first one
        yield Processes(device, rank, world)
        return
    distributed.init_process_group("nccl" if there else "gloo", timeout=_AT_MOST)
    try:
        yield Processes(device, rank, world)
    finally:
        distributed.destroy_process_group()


def launch(n_processes: int, work: Callable[[Any], Any], what: Any) -> Any:
    """`work(what)` in that many processes of this machine, joined as torchrun joins them; what the first one returns.

    Args: work: a function of a module. what: can be pickled.
    Raises: S2vError, one of them did or was killed.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    results: Any = torch.multiprocessing.get_context("spawn").SimpleQueue()
    given = (n_processes, port, work, what, results, log_settings())
    context = start_processes(_work, given, n_processes, join=False, start_method="spawn")
    try:
        while not context.join():
            pass
    except (ProcessRaisedException, ProcessExitedException) as error:
        if not results.empty() and isinstance(refusal := results.get(), S2vError):
            raise refusal from None
        raise DataError(
            f"one of {n_processes} training processes ended ({str(error).strip().splitlines()[-1]})"
        ) from error
    finally:  # a signal ends this one alone, and the exit of Python would wait for the others
        for process in context.processes:
            if process.is_alive():
                process.terminate()
    return results.get()


_VARIABLES = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}


def _started_by_torchrun() -> bool:
    return "LOCAL_RANK" in os.environ and "WORLD_SIZE" in os.environ


def _work(
    rank: int, world: int, port: int, work: Callable[[Any], Any], what: Any, results: Any, logged: LogSettings
) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
    guard_streams()
    start_logging(logged)
    try:
        result = work(what)
    except S2vError as error:
        results.put(error)
        raise
    except SystemExit:  # refused together with the first one, which says why; ended sooner, this one would end it
        if rank == 0:
            raise
        return
    if rank == 0:
        results.put(result)
