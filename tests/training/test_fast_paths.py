"""A CycleGAN with every fast path on: killed and resumed to the bit, and the same training as without them."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gan_cli.tools.bench.workload import OwnTrainer, Workload, settings
from gan_cli.training import build, cpu_fast_paths
from gan_cli.training.trainer import Trainer
from gan_cli.utils.errors import GanError

WORDS = [
    "model=cyclegan", "dataset.image_size=64", "trainer.batch_size=2", "trainer.device=cpu",
    "model.lambda_identity=0.5",
    *[f"model.{name}.{key}" for name in "GF" for key in ("width=32", "blocks=1")],
    *[f"model.{name}.{key}" for name in ("D_X", "D_Y") for key in ("width=4", "n_layers=1")],
]  # fmt: skip


def trainer(*more: str) -> Trainer:
    cfg = settings([*WORDS, *more])
    return build.trainer(cfg, build.system(cfg), build.dataset(cfg))


def weights(one: Trainer) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in one.system.named_parameters()}


def test_resumed_to_the_bit_with_every_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    apply = cpu_fast_paths.Winograd.apply

    def counted(*inputs: Any) -> Any:
        used.append(len(inputs[0]))
        return apply(*inputs)

    monkeypatch.setattr(cpu_fast_paths.Winograd, "apply", counted)
    whole = trainer()
    for _ in range(3):
        whole.iterate()
    first = trainer()
    first.iterate()
    state = first.state_dict()
    second = trainer()
    second.load_state_dict(state)
    for _ in range(2):
        second.iterate()
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(second).items())
    assert list(whole.system.state_dict()) == list(trainer("trainer.cpu_fast_paths=false").system.state_dict())
    assert set(used) == {2, 4, 6}  # F(y), F(G(x)) and F(x) in one pass; G(x) and G(y); G(F(y))


def test_with_and_without_them_the_same_training() -> None:
    """Two iterations. In float64 the weights agree to 1e-6 of their change; in float32 the fast ones are at most 3
    times as far from those in float64 as plain eager's, network by network. Without biases: before an instance norm
    their gradient is zero but for rounding, of which Adam makes whole steps."""
    system = Workload(WORDS)
    sides = {
        "exact": OwnTrainer(system, fast_paths=False, together=False, exact=True),
        "fast, exact": OwnTrainer(system, exact=True),
        "plain": OwnTrainer(system, fast_paths=False, together=False),
        "fast": OwnTrainer(system),
    }
    start = weights(sides["plain"].trainer)
    ends = {}
    for name, side in sides.items():
        for _ in range(2):
            side.step()
        ends[name] = weights(side.trainer)

    def distance(a: dict[str, Tensor], b: dict[str, Tensor], network: str) -> float:
        mine = [name for name in a if name.startswith(f"{network}.") and name.endswith("weight")]
        return sum(float((a[name].double() - b[name].double()).square().sum()) for name in mine) ** 0.5

    for network in ("G", "F", "D_X", "D_Y"):
        change = distance(ends["exact"], start, network)
        assert distance(ends["fast, exact"], ends["exact"], network) < 1e-6 * change
        plain, fast = (distance(ends[name], ends["exact"], network) for name in ("plain", "fast"))
        assert 0 < fast <= 3 * plain < change, (network, fast, plain, change)


def test_what_would_be_wrong_is_refused() -> None:
    """channels_last meets the trap of torch's instance norm on a CPU; a compiled network has no second derivative."""
    cases = {
        "wrong gradients of instance normalization .* network 'G'": [*WORDS, "trainer.channels_last=true"],
        "second derivative": ["model=wgan_gp", "dataset.image_size=8", "trainer.compile=true", "trainer.device=cpu"],
    }
    for text, words in cases.items():
        cfg = settings(words)
        with pytest.raises(GanError, match=text):
            build.dry_run(cfg, build.system(cfg), build.dataset(cfg))


def test_channels_last_and_compile_where_they_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compiled.append(type(self).__name__))
    words = ["model=dcgan", "dataset.image_size=8", "trainer.device=cpu", "trainer.batch_size=4"]
    words += ["model.generator.width=4", "model.discriminator.width=4"]
    cfg = settings([*words, "trainer.channels_last=true", "trainer.compile=true"])
    one = build.trainer(cfg, build.system(cfg), build.dataset(cfg))
    assert compiled == ["Generator", "Discriminator"]
    wide = [p for p in one.system.parameters() if p.dim() == 4 and p.shape[1] > 1 and p.shape[2] > 1]
    assert wide and all(p.is_contiguous(memory_format=torch.channels_last) for p in wide)
    cfg, a = settings(words), one.iterate()
    plain = build.trainer(cfg, build.system(cfg), build.dataset(cfg))
    b = plain.iterate()
    assert a.keys() == b.keys() and all(float(a[k]) == pytest.approx(float(b[k]), rel=1e-4) for k in a)
