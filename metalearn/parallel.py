"""Several processes that make one training: each takes a share of the episodes, all make the same step.

    torchrun --nproc-per-node 4 -m metalearn train --out run --batch-size 8

A program of your own puts `with parallel.processes():` around everything, and is started by torchrun too.
From then on `fit`, `evaluate` and `embed_pool` are called by all processes, or they wait for each other in
vain. In one process everything here is the identity. How a step is made by all is in `joint`.
"""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

__all__ = ["device", "n_processes", "processes", "rank", "share"]

GIVEN = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # what torchrun tells each process

# Small notes that all processes share; torchrun keeps them, so that they outlive a killed process.
_store: Any = None
_ending = False  # then a signal to end has nothing to add


@contextmanager
def processes() -> Iterator[None]:
    """Meet the other processes that torchrun has started, and part from them at the end.

    They talk over gloo on CPUs and over nccl on GPUs. Without torchrun nothing happens.

    Raises:
        ConnectionError: inside, where all processes are needed: one of them has ended.

    Example:
        >>> with processes():
        ...     n_processes(), rank()
        (1, 0)

    Derived in chapter 20, *Reproducing the papers, and more than one machine*.
    """
    global _ending, _store
    if started() or not all(name in os.environ for name in GIVEN):
        yield
        return
    _ending = False
    _store, own, n = next(iter(dist.rendezvous("env://")))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, store=_store, rank=own, world_size=n)
    in_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _told_to_end) if in_main else None
    try:
        yield
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, before)
        dist.destroy_process_group()
        _store = None


def started() -> bool:
    """Whether torchrun has started this process, be it the only one."""
    return dist.is_available() and dist.is_initialized()


def n_processes() -> int:
    """K, how many processes there are.

    Derived in chapter 20, *Reproducing the papers, and more than one machine*.
    """
    return dist.get_world_size() if started() else 1


def rank() -> int:
    """The number of this process, 0 to K - 1; process 0 writes and prints.

    Derived in chapter 20, *Reproducing the papers, and more than one machine*.
    """
    return dist.get_rank() if started() else 0


def device(name: str = "auto") -> torch.device:
    """The processor for this process.

    Args:
        name: "cpu"; "cuda", a GPU of its own; or "auto", which is "cuda" if there is a GPU.

    Raises:
        ValueError: another name, or no GPU for this process.

    Example:
        >>> device("cpu")
        device(type='cpu')

    Derived in chapter 20, *Reproducing the papers, and more than one machine*.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device is {name!r}; it is 'auto', 'cpu' or 'cuda'")
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    own, here = int(os.environ.get("LOCAL_RANK", 0)) if started() else 0, torch.cuda.device_count()
    if own >= here:
        raise ValueError(
            f"device is {name!r}; this machine has {here} GPUs, and each process needs one of its own"
        )
    torch.cuda.set_device(own)
    return torch.device("cuda", own)


def share(items: Sequence) -> Sequence:
    """This process's part of a sequence; the parts, in the order of the processes, are the whole.

    Example:
        >>> share(range(8, 16))  # of one process
        range(8, 16)

    Derived in chapter 20, *Reproducing the papers, and more than one machine*.
    """
    n, k, i = len(items), n_processes(), rank()
    return items[n * i // k : n * (i + 1) // k]


def gathered(items: list) -> list:
    """The lists of all processes as one, in the order of the processes; they may differ in length."""
    if n_processes() == 1:
        return items
    parts: list[Any] = [None] * n_processes()
    with _all_needed():
        dist.all_gather_object(parts, items)
    return [item for part in parts for item in part]


def sum_of_all(tensor: Tensor) -> Tensor:
    """The sum over processes, the same bits in all; no gradient passes it."""
    total = tensor.detach().clone(memory_format=torch.contiguous_format)
    if n_processes() > 1:
        with _all_needed():
            dist.all_reduce(total)
    return total


def any_of(flag: bool) -> bool:
    """Whether it is so in any process."""
    return bool(sum_of_all(torch.tensor(int(flag))))


def agree(module: nn.Module) -> None:
    """Give every process the weights and statistics of process 0."""
    if n_processes() > 1:
        for tensor in module.state_dict().values():
            with _all_needed():
                dist.broadcast(tensor, 0)


def may_speak() -> bool:
    """Whether this process is the first to say why all end: one sentence is enough."""
    global _ending
    _ending = True
    try:
        return _store is None or _store.add("said why", 1) == 1
    except RuntimeError:
        return True


@contextmanager
def _all_needed() -> Iterator[None]:
    """A call that all take part in fails when one of them has ended."""
    try:
        yield
    except RuntimeError as error:
        raise _ended() from error


def _told_to_end(number: int, frame: object) -> None:
    if not _ending:
        raise _ended()


def _ended() -> ConnectionError:
    global _ending
    _ending = True
    return ConnectionError(
        f"one of the {n_processes()} processes has ended, and the others cannot go on without it: start "
        "all of them again; a training goes on from its last checkpoint with --resume (resume=True)"
    )
