"""Gradient accumulation: which models decompose into micro-batches, and the gradients of those that do."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from helpers import composed, config_names, refused
from omegaconf import DictConfig
from torch import Tensor

from gan_cli.config.schema import complete
from gan_cli.data.base import Batch
from gan_cli.losses.adversarial import AdversarialLoss, RelativisticAverage
from gan_cli.systems.base import System, Terms
from gan_cli.systems.pix2pixhd_labels import Pix2PixHDLabels
from gan_cli.training import accumulation, build
from gan_cli.training.accumulation import Accumulation
from gan_cli.training.trainer import backward
from gan_cli.utils import random

COUNT, SIZE = 4, 8
MLP = ["network=mlp_points", "dataset=ring"]
POINTS = "model.generator._target_=gan_cli.networks.mlp.PointGenerator"


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    """float64 everywhere, so that an error of 1e-6 is one of the equations."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def built(*overrides: str) -> tuple[DictConfig, System, Batch]:
    """A narrow model without dropout, whose numbers differ from pass to pass, and a batch."""
    cfg = composed(*overrides)
    complete(cfg)
    for node in cfg.model.values():
        if isinstance(node, DictConfig) and isinstance(node.get("width"), int):
            node.width = max(2, node.width // 8)
    system, data = build.system(cfg), build.dataset(cfg)
    for layer in system.modules():
        if hasattr(layer, "p") and isinstance(layer.p, float):
            layer.p = 0.0
    batch = data.train_batch(0, 0, SIZE)
    system.double()
    for network in system.children():  # pix2pixHD's one-hot maps are float32
        network.register_forward_pre_hook(lambda _, inputs: tuple(map(double, inputs)))
    if isinstance(system, Pix2PixHDLabels) and system.multimodal:
        system.bank.float()  # it stores float32, whatever E computes
    return cfg, system, type(batch)(*(double(part) for part in batch))


def double(part: Any) -> Any:
    return part.double() if isinstance(part, Tensor) and part.is_floating_point() else part


def gradients(cfg: DictConfig, system: System, batch: Batch, step: accumulation.Backward) -> dict[str, Tensor]:
    """All terms and gradients of an iteration that changes no weights, and the buffers after it."""
    random.seed(1)
    optimizers = build.optimizers(cfg, system)
    found: dict[str, Tensor] = {}
    for turn in system.turns():
        for name, network in system.named_children():
            network.requires_grad_(name in turn.trains)
        for number in range(min(turn.steps, 2)):
            terms = step(turn, batch, optimizers)
            found |= {f"{turn.name}/{number}/{name}": term.detach() for name, term in terms.items()}
        for name in turn.trains:
            weights = system.get_submodule(name).named_parameters()
            found |= {f"{turn.name}/{name}.{key}": w.grad.clone() for key, w in weights if w.grad is not None}
    return found | {name: buffer.clone() for name, buffer in system.named_buffers()}


def assert_equal_gradients(*overrides: str) -> None:
    results = []
    for accumulate in (1, COUNT):
        cfg, system, batch = built(*overrides, f"trainer.batch_size={SIZE}", f"trainer.accumulate={accumulate}")
        accumulation.refuse(cfg.trainer, system)
        results.append(gradients(cfg, system, batch, backward if accumulate == 1 else Accumulation(system, COUNT)))
    whole, accumulated = results
    assert whole.keys() == accumulated.keys() and any("." in name for name in whole)
    for name, value in whole.items():
        scale = value.abs().max().clamp_min(1e-3) if value.numel() else 1.0
        assert ((accumulated[name] - value).abs() / scale < 1e-6).all(), name


ACCEPTED = {
    "began": [], "cyclegan": ["model.pool_size=5", "model.lambda_identity=0.5"], "dualgan_code": [],
    "pix2pixhd": ["model.pool_size=3"], "pix2pixhd_features": [], "pix2pixhd_pairs": [], "sgan": [],
}  # fmt: skip
"""The models whose own networks and losses decompose, with settings that use all of their terms."""
REFUSED = {
    "batch statistics": (
        "acgan", "cgan", "cls_gan", "dcgan", "dualgan", "ebgan", "ebgan_ladder", "fgan", "fgan_single_step", "infogan",
        "ladder", "lsgan", "pacgan", "pix2pix", "sngan", "wgan", "wgan_gp",
    ),
    "all pairs": ("ebgan_pt", "gmmn", "gmmn_ae", "mmd_gan_rq"),
    "mean": ("discogan", "mmd_gan", "msgan", "one_way_gan", "pix2pix_noise", "recongan"),
    "the whole batch": ("unrolled",),
    "the two halves": ("drit",),
}  # fmt: skip
WORDS = {"batch statistics": "by the statistics of the batch"}


def test_every_model_is_in_one_of_the_lists() -> None:
    assert sorted([*ACCEPTED, *(name for names in REFUSED.values() for name in names)]) == config_names("model")


@pytest.mark.parametrize("model", ACCEPTED)
def test_gradients_of_a_model(model: str) -> None:
    assert_equal_gradients(f"model={model}", *ACCEPTED[model])


@pytest.mark.parametrize("reason, model", [(reason, name) for reason, names in REFUSED.items() for name in names])
def test_a_model_is_refused_by_what_does_not_decompose(reason: str, model: str) -> None:
    _, system, _ = built(f"model={model}")
    assert WORDS.get(reason, reason) in accumulation.batch_term(system)


WHOLE_BATCH = {
    "dragan": "DRAGAN", "relativistic_average": "RelativisticAverage", "repulsive": "Repulsive",
    **{f"mmd_{name}": "MMD" for name in ("distance", "gan", "rbf", "rq")}, "gmmn": "MMD", "gmmn_code": "MMD",
}  # fmt: skip


@pytest.mark.parametrize("loss", [name for name in config_names("loss") if name != "ebgan_ladder"])
def test_a_loss(loss: str) -> None:
    """Its gradients are equal, or it is refused by its name."""
    if loss in WHOLE_BATCH:
        _, system, _ = built("model=sgan", *MLP, f"loss={loss}")
        assert accumulation.batch_term(system).startswith(f"{WHOLE_BATCH[loss]} ")
    else:
        assert_equal_gradients("model=sgan", *MLP, f"loss={loss}")


@pytest.mark.parametrize("overrides", [
    ["model=sngan", "network=mlp_points_sn", "dataset=ring"],
    ["model=ebgan", "network=mlp_points_autoencoder", "dataset=ring"],
    ["model=fgan_single_step", *MLP],
    ["model=unrolled", *MLP, "model.unroll_steps=0"],
    ["model=pacgan", "network=pacgan_points", "dataset=ring", POINTS, "+model.generator.value_range=null"],
    ["model=cgan", "network=conditional_mlp", "dataset=shapes"],
    ["model=discogan", "network=discogan_toy", "dataset=mixture_domains", "model.lambda_features=0"],
], ids=lambda overrides: overrides[0])  # fmt: skip
def test_gradients_of_other_networks(overrides: list[str]) -> None:
    assert_equal_gradients(*overrides)


class Centered(AdversarialLoss):
    """A loss that does not say that it compares scores with their mean."""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return RelativisticAverage().d_loss(real, fake)

    def g_loss(self, fake: Tensor, real: Tensor) -> Tensor:
        return (fake - fake.mean()).square().mean()


def test_the_comparison_finds_a_loss_that_does_not_decompose(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = build.system

    def system(cfg: DictConfig) -> System:
        found = plain(cfg)
        object.__setattr__(found.objective, "adversarial", Centered())
        return found

    monkeypatch.setattr(build, "system", system)
    with pytest.raises(AssertionError):
        assert_equal_gradients("model=sgan", *MLP)


def test_activations_of_one_micro_batch_at_a_time_are_in_memory() -> None:
    held = []
    for step_of in (lambda system: backward, lambda system: Accumulation(system, COUNT)):
        cfg, system, batch = built("model=sgan", *MLP)
        weights = {weight.untyped_storage().data_ptr() for weight in system.parameters()}
        saved: list[int] = []  # bytes of the activations of each forward pass

        def pack(value: Tensor, weights: set[int] = weights, saved: list[int] = saved) -> Tensor:
            if value.untyped_storage().data_ptr() not in weights:
                saved[-1] += value.nbytes
            return value

        def loss(part: Batch, plain: Callable[[Batch], Terms], saved: list[int] = saved) -> Terms:
            saved.append(0)
            return plain(part)

        turn = system.turns()[1]
        counted = replace(turn, loss=partial(loss, plain=turn.loss))
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
            step_of(system)(counted, batch, build.optimizers(cfg, system))
        held.append(saved)
    (whole,), accumulated = held
    assert len(accumulated) == COUNT and max(accumulated) <= whole / (COUNT - 1)


def test_the_line_of_a_refusal(capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, "train", "model=dcgan", "dataset=shapes", "trainer.accumulate=2", "hydra.run.dir=run")
    assert "trainer.accumulate=2: network 'generator' normalizes by the statistics of the batch" in line
    line = refused(capsys, "train", "model=sgan", *MLP, "trainer.batch_size=9", "trainer.accumulate=2")
    assert "trainer.batch_size=9 is no multiple of 2" in line
    pacs = ["model=pacgan", "network=pacgan_points", "dataset=ring", "trainer.batch_size=12", "trainer.accumulate=4"]
    assert "no multiple of 8, so it does not divide into equal micro-batches of whole packs" in refused(
        capsys, "train", *pacs
    )
    assert "trainer.accumulate must be at least 1, not 0" in refused(capsys, "train", "trainer.accumulate=0")
