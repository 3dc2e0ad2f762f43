"""Settings of experiments that are easily wrong: rates, counts, claims, worked out from the papers and their code."""

import functools
from typing import Any

import pytest
from helpers import checked
from hydra.utils import instantiate
from omegaconf import DictConfig

from gan_cli.evaluation.evaluate import build_metrics
from gan_cli.experiments.paper_results import parse_paper_results
from gan_cli.losses.objective import WarmUp
from gan_cli.metrics.gaussian_fit import GaussianFit
from gan_cli.systems.shared_fakes import SharedFakesGAN
from gan_cli.utils import random

composed = functools.cache(checked)


def variant(experiment: str, name: str) -> DictConfig:
    return composed(f"experiment={experiment}", *composed(f"experiment={experiment}").variants[name])


def claim(experiment: str, value: str, of: str | None = None) -> Any:
    found = parse_paper_results([dict(entry) for entry in composed(f"experiment={experiment}").expect])
    return next((each for each in found if (each.value, each.variant) == (value, of)), None)


@pytest.mark.parametrize(("experiment", "lr"), [("sgan_mnist", 0.1), ("sgan_cifar10", 0.025)])
def test_the_2014_code_halves_the_cost_of_d_only(experiment: str, lr: float) -> None:
    cfg = composed(f"experiment={experiment}")
    assert cfg.optimizer.lr == lr and dict(cfg.optimizer.networks) == {"discriminator": {"lr": lr / 2}}
    assert cfg.loss.adversarial._target_ == "gan_cli.losses.adversarial.NonSaturating"
    assert cfg.model._target_ == f"{SharedFakesGAN.__module__}.SharedFakesGAN" and cfg.model.share_fakes
    if experiment == "sgan_mnist":  # noise: 'uniform', of variance 1; the CIFAR-10 file leaves the default
        assert cfg.trainer.iterations == 250 * 500 and cfg.dataset.validation == 10_000
        assert cfg.model.generator._target_ == "gan_cli.networks.mlp.MarginalGenerator"
        assert cfg.model.noise == {"_target_": f"{random.__name__}.Uniform", "low": -1.7320508, "high": 1.7320508}
    else:
        assert cfg.model.noise == {"_target_": f"{random.__name__}.Normal"}


@pytest.mark.parametrize(("experiment", "start"), [("gmmn_mnist", 0), ("gmmn_ae_mnist", 5000)])
def test_gmmn_is_trained_and_scored_as_by_its_authors(experiment: str, start: int) -> None:
    """train.py: rate 2 and momentum .9 for 10,000 of 40,000 updates, then .2 and .99; 5,000 of the digits withheld.
    eval_mmd_generative_model.py: sigma from arange(.1, .3, .01), by all validation digits."""
    cfg = composed(f"experiment={experiment}")
    rate, momentum = (instantiate(cfg.trainer[key]) for key in ("schedule", "momentum_schedule"))
    assert cfg.trainer.iterations == start + 40_000 and (cfg.optimizer.lr, cfg.optimizer.momentum) == (2.0, 0.9)
    assert [rate(i, 40_000) for i in (start + 9999, start + 10_000)] == [1.0, 0.1]
    assert [momentum(i, 40_000) for i in (start + 9999, start + 10_000)] == [0.9, 0.99]
    metrics, _ = build_metrics(["parzen"], "auto", cfg.evaluate.settings)
    assert metrics["parzen"].validation == cfg.dataset.validation == 5000
    assert metrics["parzen"].sigmas == pytest.approx([0.1 + 0.01 * i for i in range(20)])


def test_which_models_share_one_batch_of_fakes() -> None:
    assert composed("experiment=dcgan_mnist").model.share_fakes
    assert composed("experiment=lsgan_ring").model.share_fakes
    assert variant("ebgan_vs_dcgan", "dcgan").model.share_fakes
    assert not composed("experiment=dragan_mnist").model.share_fakes
    assert "share_fakes" not in variant("stacked_small", "unrolled_5").model
    for name in ("non_saturating", "pacgan_2"):  # PacGAN's model.py: one feed of z for both steps
        assert variant("stacked_small", name).model.share_fakes


@pytest.mark.parametrize(
    ("experiment", "packs"), [("stacked_mnist", 64), ("stacked_small", 128), ("ring", 256), ("pacgan_grid", 100)]
)
def test_a_batch_of_pacgan_counts_packs(experiment: str, packs: int) -> None:
    """Lin et al. 2018: D sees as many packs in a step as samples without packing."""
    for packing in (2, 3, 4):
        cfg = variant(experiment, f"pacgan_{packing}")
        assert cfg.trainer.batch_size == packs * packing
        assert cfg.model.packing == packing and cfg.model.discriminator.channels == packing * cfg.dataset.channels
    assert variant(experiment, "non_saturating").trainer.batch_size == packs


def test_length_of_a_warm_up_in_batches() -> None:
    """Li et al. 2017: 1,000 epochs, G's step has a batch of its own. Arjovsky et al. 2017: 25 epochs, it has none."""
    for experiment, batches, own in (
        ("mmd_gan_cifar10", 782_000, 1), ("mmd_gan_mnist", 938_000, 1), ("wgan_lsun", 25 * 47_391, 0),
    ):  # fmt: skip
        cfg = composed(f"experiment={experiment}")
        steps = cfg.loss.critic_steps
        schedule = WarmUp(steps.low, steps.high, steps.first, steps.every)
        taken = sum(schedule(iteration) + own for iteration in range(cfg.trainer.iterations))
        assert abs(taken / batches - 1) < 2e-3, experiment


@pytest.mark.parametrize(("experiment", "images"), [("drit_cat2dog", 1264), ("drit_yosemite", 1231)])
def test_length_of_drit(experiment: str, images: int) -> None:
    """train.py: a batch of one image is dropped; every third of an epoch's, and from the last but one on all."""
    batches = -(-images // 2)
    full = sum(1 for at in range(images // 2) if (at + 1) % 3 == 0 or at >= batches - 2)
    assert composed(f"experiment={experiment}").trainer.iterations == 1200 * full


@pytest.mark.parametrize(
    ("experiment", "images"), [("dualgan_maps", 1096), ("dualgan_facades", 400), ("dualgan_sketch_photo", 995)]
)
def test_length_of_dualgan(experiment: str, images: int) -> None:
    """100 epochs of what the critics see: a new batch in each of their steps."""
    for name, least in (("paper", 500), ("code", 1000)):
        cfg = variant(experiment, name)
        steps = cfg.loss.get("critic_steps", 1)
        assert steps == {"paper": 3, "code": 1}[name]
        assert abs(cfg.trainer.iterations * steps - 100 * images) < steps
        assert min(cfg.model.lambda_U, cfg.model.lambda_V) == least
    assert variant("dualgan_maps", "paper").model.lambda_V == 1000


@pytest.mark.parametrize(("labels", "weight"), [(100, 5000), (1000, 2000)])
def test_ladder_network_has_the_settings_of_rasmus_et_al(labels: int, weight: float) -> None:
    """CuriousAI/ladder: README.md, "Bottom-only", and the defaults of run.py; the long variants have its length."""
    short, long = (variant("ladder_mnist", f"{name}_{labels}") for name in ("labels", "long"))
    for cfg in (short, long):
        assert cfg.dataset.num_labels == labels and list(cfg.model.discriminator.weights) == [weight]
        assert cfg.optimizer.lr == 2e-3 and list(cfg.optimizer.betas) == [0.9, 0.999]
        assert cfg.trainer.batch_size == 100 and cfg.model.statistics == "labeled"
    assert (short.trainer.iterations, long.trainer.iterations) == (12_000, 150 * 600)


def test_lengths_and_rates_of_a_ladder_network_in_ebgan() -> None:
    """The margin is gone after a third; plain_100 has none, so that it is a ladder network with all else equal."""
    short, long, plain = (variant("ebgan_ladder_mnist", f"{name}_100") for name in ("labels", "long", "plain"))
    for cfg, iterations, lr in ((short, 18_000, 2e-3), (long, 180_000, 5e-4)):
        assert cfg.trainer.iterations == iterations == 3 * cfg.loss.adversarial.margin.length
        assert cfg.optimizer.lr == lr == 2 * cfg.optimizer.networks.generator.lr
        assert cfg.loss.adversarial.margin.start == 16 and list(cfg.model.discriminator.weights) == [1000]
    assert plain.loss.adversarial.margin.start == 0 and plain.trainer.iterations == 18_000


def test_conditional_dcgan_on_mnist_is_that_of_its_authors() -> None:
    """Newmu/dcgan_code, train_cond_dcgan.py: 391 batches of 50,000 digits in an epoch, by turns for G and D."""
    cfg = composed("experiment=cgan_mnist_dcgan")
    assert list(cfg.dataset.value_range) == [0, 1] and cfg.dataset.validation == 10_000
    assert cfg.trainer.batch_size == 128 and -(-50_000 // 128) == 391
    optimizer = cfg.optimizer
    assert (optimizer.lr, optimizer.weight_decay, *optimizer.betas) == (2e-4, 2.5e-5, 0.5, 0.999)
    schedule = cfg.trainer.schedule
    assert cfg.trainer.iterations * 2 == 391 * schedule.epochs and schedule.epochs == 2 * schedule.length
    assert schedule.start == schedule.length + 1 and (cfg.model.noise.low, cfg.model.noise.high) == (-1, 1)


def test_variants_of_the_scripts_of_dualgan_and_discogan() -> None:
    """train.sh: day-night with wgan, oil-chinese with lambda 500; DiscoGAN's script.sh:7: females only."""
    night = variant("dualgan_day_night", "code")
    assert night.loss.critic_steps == 1 and night.loss.constraint.limit == 0.01 and "penalty" not in night.loss
    assert (night.model.lambda_U, night.model.lambda_V) == (1000, 1000)
    paintings = variant("dualgan_materials", "paintings")
    assert (paintings.model.lambda_U, paintings.model.lambda_V) == (500, 500) and paintings.loss.penalty.weight == 10
    assert dict(variant("discogan_celeba", "blond_hair").dataset.keep) == {"Male": -1}


def test_leak_of_infogan() -> None:
    """Appendix C: .1, the network's default; openai/InfoGAN, custom_ops.py: .01."""
    for cfg, leak in ((composed("experiment=infogan_mnist"), 0.01), (composed("model=infogan"), 0.1)):
        assert cfg.model.trunk.leak == cfg.model.posterior.leak == leak


def test_toy_of_discogan() -> None:
    for name in ("gan", "recongan", "discogan"):
        cfg = variant("discogan_toy", name)
        assert (cfg.optimizer.lr, cfg.optimizer.weight_decay, cfg.trainer.iterations) == (1e-3, 1e-4, 4000)
    found = claim("discogan_toy", "shared", "discogan")
    assert found.is_met(0) and not found.is_met(1)


def test_angles_match_layers_3_and_4() -> None:
    cfg = composed("experiment=discogan_angles")
    assert cfg.model.D_A.matched_from == cfg.model.D_B.matched_from == 3
    assert composed("experiment=discogan_stripes").model.D_A.matched_from == 2


def test_drit_on_stripes_is_given_the_style() -> None:
    """Of a batch of four, two images are translated: the summed KL weighs twice that of one."""
    cfg = composed("experiment=drit_stripes")
    assert cfg.trainer.batch_size // 2 * cfg.model.lambda_attribute == composed("model=drit").model.lambda_attribute
    assert cfg.optimizer.lr / cfg.optimizer.networks.D_content.lr == pytest.approx(2.5)
    assert list(cfg.evaluate.settings) == ["metric.paired.style=true"]
    assert claim("drit_stripes", "AtoB").metric == "paired" and claim("drit_stripes", "best_AtoB") is None


def test_networks_of_msgan() -> None:
    for experiment in ("msgan_cifar10", "msgan_mnist"):
        model = composed(f"experiment={experiment}").model
        assert model.generator.torch_defaults and model.discriminator.torch_defaults
    assert not composed("model=cgan").model.generator.torch_defaults


def test_claims_say_which_way_is_better() -> None:
    assert GaussianFit.better["bound"] == "higher"
    bound = claim("fgan_gaussian", "bound", "kl")  # F <= D_f: .2831 would be the best there is
    assert bound.is_met(0.2831) and not bound.is_met(0.27)
    assert claim("fgan_mnist", "kde", "hellinger") is None and claim("fgan_mnist", "kde", "jeffrey") is None
    assert claim("fgan_mnist", "kde", "pearson").paper == 429
    for experiment, paper in (("msgan_facades", 0.0003), ("msgan_maps", 0.0016)):
        none = claim(experiment, "lpips_AtoB", "no_ms")
        assert none.is_met(paper) and not none.is_met(paper + 0.01) and not none.is_met(0.0)
    for experiment in ("discogan_stripes", "dualgan_stripes"):
        assert claim(experiment, "AtoB") is None and claim(experiment, "outline_AtoB").is_met(0.0731)
