"""Random numbers of a model: noise, latent codes, interpolation weights.

Every process samples the rows of the *global* batch from one seeded generator and uses its own share, so that training
does not depend on the number of processes. The generators' states are part of a checkpoint, so a resumed run continues
with the same numbers. Layers with random numbers of their own (dropout) use torch's default generator instead, which
has another seed in each process.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

_generators: dict[torch.device, torch.Generator] = {}
_seed = 0
_rank, _world = 0, 1


def seed(value: int, rank: int = 0, world: int = 1) -> None:
    """Restart all streams from `value`; this process uses share `rank` of `world`."""
    global _seed, _rank, _world
    _seed, _rank, _world = value, rank, world
    _generators.clear()


def _generator(device: torch.device) -> torch.Generator:
    if device not in _generators:
        _generators[device] = torch.Generator(device).manual_seed(_seed)
    return _generators[device]


def _rows(sampler: Callable[..., Tensor], n: int, shape: Sequence[int], device: torch.device | str) -> Tensor:
    device = torch.empty(0, device=device).device  # "cuda" -> "cuda:0"
    rows = sampler((n * _world, *shape), generator=_generator(device), device=device)
    return rows[_rank * n : (_rank + 1) * n]


def normal(n: int, *shape: int, device: torch.device | str = "cpu") -> Tensor:
    """N(0, 1), float32, (n, *shape)."""
    return _rows(torch.randn, n, shape, device)


def uniform(
    n: int, *shape: int, device: torch.device | str = "cpu", low: float = 0.0, high: float = 1.0
) -> Tensor:
    """U[low, high), float32, (n, *shape)."""
    return low + (high - low) * _rows(torch.rand, n, shape, device)


def randint(n: int, high: int, device: torch.device | str = "cpu") -> Tensor:
    """Uniform over {0, ..., high - 1}, int64, (n,)."""

    def sampler(size: Sequence[int], **where: Any) -> Tensor:
        return torch.randint(high, size, **where)

    return _rows(sampler, n, (), device)


class Prior(Protocol):
    """The distribution of a model's noise."""

    def __call__(self, n: int, *shape: int, device: torch.device | str = "cpu") -> Tensor:
        """n independent samples, float32 (n, *shape)."""


@dataclass(frozen=True)
class Normal(Prior):
    """The prior N(0, 1) of a model's noise."""

    def __call__(self, n: int, *shape: int, device: torch.device | str = "cpu") -> Tensor:
        return normal(n, *shape, device=device)


@dataclass(frozen=True)
class Uniform(Prior):
    """The prior U[low, high) of a model's noise."""

    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"low={self.low} must be below high={self.high}")

    def __call__(self, n: int, *shape: int, device: torch.device | str = "cpu") -> Tensor:
        return uniform(n, *shape, device=device, low=self.low, high=self.high)


@dataclass(frozen=True)
class TruncatedNormal(Prior):
    """N(0, 1) whose components beyond +-threshold are sampled again until they lie within (Brock et al. 2019, arXiv
    1809.11096, section 3.1): samples are more typical and less diverse. Components within are those of N(0, 1).
    """

    threshold: float

    def __call__(self, n: int, *shape: int, device: torch.device | str = "cpu") -> Tensor:
        z = normal(n, *shape, device=device)
        while int(count := (beyond := z.abs() > self.threshold).sum()):
            z[beyond] = normal(int(count), device=device)
        return z


@dataclass
class Fixed(Prior):
    """Noise that is given instead of sampled: z (n, latent_dim). While z is None it is what `prior` samples first."""

    prior: Prior
    z: Tensor | None = None

    def __call__(self, n: int, *shape: int, device: torch.device | str = "cpu") -> Tensor:
        if self.z is None:
            self.z = self.prior(n, *shape, device=device)
        return self.z


def is_normal(prior: Prior) -> bool:
    """Whether `prior` is N(0, 1), or a truncation of it."""
    return prior is normal or isinstance(prior, (Normal, TruncatedNormal))


def state_dict() -> dict[str, Tensor]:
    """Device name -> generator state; plain tensors."""
    return {str(device): generator.get_state() for device, generator in _generators.items()}


def load_state_dict(state: dict[str, Tensor]) -> None:
    """Continue the streams of `state_dict`; devices that this machine does not have are ignored."""
    _generators.clear()
    for name, value in state.items():
        device = torch.device(name)
        if device.type == "cpu" or torch.cuda.is_available():
            _generators[device] = torch.Generator(device)
            _generators[device].set_state(value.cpu())


@contextmanager
def share(index: int, count: int, start: dict[str, Tensor]) -> Iterator[None]:
    """Context that samples share `index` of `count` of this process's rows, from the states `start` of `state_dict`.

    A process that goes through all shares thus samples what `count` processes would.
    """
    global _rank, _world
    before = (_rank, _world)
    load_state_dict(start)
    _rank, _world = _rank * count + index, _world * count
    try:
        yield
    finally:
        _rank, _world = before


@contextmanager
def fork(value: int) -> Iterator[None]:
    """Context in which every stream starts from `value` and this process samples whole batches; restored on exit."""
    global _seed, _rank, _world
    before = (_seed, _rank, _world, dict(_generators))
    seed(value)
    devices = [torch.device("cuda", i) for i in range(torch.cuda.device_count())]
    try:
        with torch.random.fork_rng(devices):
            torch.manual_seed(value)
            yield
    finally:
        _seed, _rank, _world = before[:3]
        _generators.clear()
        _generators.update(before[3])
