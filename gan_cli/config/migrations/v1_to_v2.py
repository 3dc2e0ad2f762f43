"""From schema version 1 (version 0.1) to 2 (version 0.2): modules in rooms, and names that are the field's.

Everything here is plain data. A node whose class kept its name is found by its module alone.
"""

from __future__ import annotations

import re
from typing import Any

MODULES = {
    "data.cache": "data.decoded_cache",
    "data.derived": "data.derived_pairs",
    "data.domains": "data.point_domains",
    "data.drawn": "data.lazy_images",
    "data.images": "data.image_files",
    "data.lab": "data.lab_color",
    "data.labelmaps": "data.label_maps",
    "data.labels": "data.few_labels",
    "data.mirror": "data.url_cache",
    "data.shards": "data.tar_shards",
    "data.stacked": "data.stacked_mnist",
    "data.standard": "data.mnist_cifar",
    "data.streams": "data.webdataset",
    "data.tables": "data.huggingface",
    "data.toy": "data.gaussians",
    "data.unpaired": "data.discogan_domains",
    "divergences": "losses.divergences",
    "draw": "utils.random",
    "kernels": "losses.kernels",
    "losses": "losses.adversarial",
    "metrics.bins": "metrics.ndb",
    "metrics.codes": "metrics.code_error",
    "metrics.decision": "metrics.discriminator_accuracy",
    "metrics.error": "metrics.classification_error",
    "metrics.features": "metrics.feature_checks",
    "metrics.frechet": "metrics.fid",
    "metrics.kernel": "metrics.kid",
    "metrics.labels": "metrics.conditional",
    "metrics.memory": "metrics.memorization",
    "metrics.neighbours": "metrics.nearest_neighbors",
    "metrics.stacked": "metrics.stacked_modes",
    "metrics.store": "metrics.feature_cache",
    "metrics.translation": "metrics.paired_translation",
    "mmd": "losses.mmd",
    "objective": "losses.objective",
    "penalties": "losses.penalties",
    "pool": "systems.image_pool",
    "regularizers": "losses.regularizers",
    "schedules": "training.schedules",
    "systems.single_step": "systems.fgan_single_step",
    "systems.sums": "systems.terms",
}
"""Module of version 0.1 -> module today, both below gan_cli."""

CLASSES = {
    "data.lab.Colours": "data.lab_color.LabToRGB",
    "data.toy.Grid": "data.gaussians.GaussianGrid",
    "divergences.GAN": "losses.divergences.GANDivergence",
    "kernels.Sum": "losses.kernels.SumKernel",
    "metrics.bins.Bins": "metrics.ndb.StatisticallyDifferentBins",
    "metrics.decision.Decision": "metrics.discriminator_accuracy.DiscriminatorAccuracy",
    "metrics.frechet.FrechetDistance": "metrics.fid.FrechetInceptionDistance",
    "metrics.kernel.KernelDistance": "metrics.kid.KernelInceptionDistance",
    "metrics.kernel.MMD": "metrics.kid.MMDMetric",
    "metrics.labels.OneNearestNeighbour": "metrics.conditional.OneNearestNeighborError",
    "metrics.memory.NearestTraining": "metrics.memorization.Memorization",
    "metrics.modes.Modes": "metrics.modes.ModeCoverage",
    "metrics.neighbours.NearestNeighbourTest": "metrics.nearest_neighbors.OneNearestNeighborTest",
    "metrics.translation.PartnerL1": "metrics.paired_translation.PairedTranslation",
    "networks.discogan.PointTranslator": "networks.discogan.PointGenerator",
    "networks.discogan.Translator": "networks.discogan.DiscoGANGenerator",
    "networks.drit.Concatenating": "networks.drit.ConcatenatingGenerator",
    "networks.drit.Content": "networks.drit.ContentEncoder",
    "networks.drit.ContentCritic": "networks.drit.ContentDiscriminator",
    "networks.drit.Critics": "networks.drit.Discriminator",
    "networks.drit.DeterministicAttribute": "networks.drit.DeterministicAttributeEncoder",
    "networks.drit.FeatureWise": "networks.drit.FeatureWiseGenerator",
    "networks.drit.VariationalAttribute": "networks.drit.VariationalAttributeEncoder",
    "networks.ebgan.ToyAutoEncoder": "networks.ebgan.PointAutoEncoder",
    "networks.features.ToyFeatures": "networks.features.PointFeatures",
    "networks.mlp.ToyDiscriminator": "networks.mlp.PointDiscriminator",
    "networks.mlp.ToyGenerator": "networks.mlp.PointGenerator",
    "networks.multiscale.PairCritics": "networks.multiscale.MultiScalePairDiscriminator",
    "networks.resnet.Translator": "networks.resnet.ResNetGenerator",
    "networks.sngan.ToyDiscriminator": "networks.sngan.PointDiscriminator",
    "networks.unet_noise.UNet": "networks.unet_noise.NoiseUNet",
    "penalties.Sum": "losses.penalties.SumPenalty",
}
"""Classes and functions of version 0.1 that have another name today, both below gan_cli."""

CHOICES = {
    "metric": {
        "codes": "infogan_codes",
        "decision": "discriminator_accuracy",
        "error": "classification_error",
        "iprime": "modified_is",
        "memorisation": "memorization",
        "partner": "paired",
    },
    "network": {
        "toy": "mlp_points",
        "toy_energy": "mlp_points_autoencoder",
        "toy_features": "mlp_points_features",
        "toy_spectral": "mlp_points_sn",
    },
    "hydra/launcher": {"slots": "local"},
    "hydra/sweeper": {"cells": "grid"},
}
"""Config group -> file of version 0.1 -> file today."""

KEYS = {
    "trainer.best_by": "trainer.best_metric",
    "trainer.momentum": "trainer.momentum_schedule",
    "trainer.cpu_kernels": "trainer.cpu_fast_paths",
    "model.one_fake": "model.share_fakes",
    "sweep.draw": "sweep.sample",
    "sweep.slots": "sweep.workers",
}
"""Keys that have another name today."""

GONE = ("trainer.cuda_graphs",)
"""Keys without a successor."""

STATE = {"bank.seen": "bank.counts"}
"""Keys of the system's state in a checkpoint that have another name today."""

DIRECTIONS = {"x2y": "AtoB", "y2x": "BtoA"}
"""Directions of a translation, by themselves and at the end of the names of metrics' values."""

LATER = {
    "keep_every": 0,
    "evaluate_every": 1000,
    "evaluate_count": 5000,
    "best_metric": None,
    "momentum_schedule": None,
    "cpu_fast_paths": True,
    "prefetch": None,
    "channels_last": False,
    "compile": False,
}
"""Keys of the trainer that the first runs of version 0.1 did not write, with the values that they had."""


def config(old: dict[str, Any]) -> dict[str, Any]:
    """A run's config.yaml. Idempotent, because a process may be killed between writing the config and its version."""
    found = _renamed_keys(_node(old))
    if isinstance(found.get("trainer"), dict):
        found["trainer"] = {**found["trainer"], **{k: v for k, v in LATER.items() if k not in found["trainer"]}}
        found["extractor"] = found.get("extractor") or {"_target_": "gan_cli.metrics.extractors.Auto"}
        found["metric"] = found.get("metric") or {}
        found["trainer"]["best_metric"] = value(found["trainer"]["best_metric"])
    if isinstance(found.get("metric"), dict):
        found["metric"] = {metric(name): node for name, node in found["metric"].items()}
    if isinstance(found.get("evaluate"), dict):
        found["evaluate"] = _evaluate(found["evaluate"])
    if found.get("expect"):
        found["expect"] = [record(claim) for claim in found["expect"]]
    if isinstance(found.get("variants"), dict):
        found["variants"] = {name: _overrides(texts) for name, texts in found["variants"].items()}
    return found


def override(old: str) -> str | None:
    """One override as typed."""
    sign, key, equals, text = _split(old)
    if key in GONE:
        return None
    text = _paths(text)
    if key in CHOICES:
        text = _chosen(key, text)
    if key in ("direction", "trainer.best_by", "trainer.best_metric"):
        text = value(text)
    head, _, rest = key.partition(".")
    if head == "metric" and rest:
        name, dot, field = rest.partition(".")
        key = f"metric.{metric(name)}{dot}{field}"
    return f"{sign}{_renamed_key(key)}{equals}{text}"


def provenance(old: dict[str, Any]) -> dict[str, Any]:
    """The provenance.json of a run."""
    found = {**old, "overrides": _overrides(old.get("overrides", []))}
    if isinstance(old.get("imported"), dict):
        found["imported"] = {**old["imported"], "directions": list(map(value, old["imported"]["directions"]))}
    return found


def checkpoint(old: dict[str, Any]) -> dict[str, Any]:
    """The content of a checkpoint."""
    found = {**old, "processes": [_with_names(process, {"draw": "random"}) for process in old.get("processes", [])]}
    if isinstance(old.get("system"), dict):
        found["system"] = _with_names(old["system"], STATE)
    if old.get("best"):
        found["best"] = {**old["best"], "name": value(old["best"]["name"])}
    return found


def metric(old: str) -> str:
    """The name of a metric's config file."""
    return CHOICES["metric"].get(old, old)


def value(old: str) -> str:
    """The name of a metric's value: `outline_x2y` -> `outline_AtoB`. Anything but text is returned as it is."""
    if not isinstance(old, str):
        return old
    return re.sub(r"(?:(?<=[_/])|^)(x2y|y2x)(?=\[|$)", lambda found: DIRECTIONS[found[0]], old)


def record(old: dict[str, Any]) -> dict[str, Any]:
    """A record of evaluation.jsonl or of a result file, or what an experiment expects of one value."""
    found = dict(old)
    for key, rename in (("metric", metric), ("value", value)):
        if isinstance(old.get(key), str):
            found[key] = rename(old[key])
    for key in ("values", "better"):
        if isinstance(old.get(key), dict):
            found[key] = {value(name): item for name, item in old[key].items()}
    if isinstance(old.get("protocol"), dict) and "direction" in old["protocol"]:
        found["protocol"] = {**old["protocol"], "direction": value(old["protocol"]["direction"])}
    return found


def moved(path: str) -> str:
    """The dotted path of a class or function of version 0.1 as it is today."""
    inner = path.removeprefix("gan_cli.")
    module, _, name = inner.rpartition(".")
    if inner == path:
        return path
    return "gan_cli." + (CLASSES.get(inner) or f"{MODULES.get(module, module)}.{name}")


def _node(value: Any) -> Any:
    """A mapping, list or value of a config, with the classes that its nodes name as they are today."""
    if isinstance(value, list):
        return [_node(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: _node(item) for key, item in value.items()}
    if isinstance(found.get("_target_"), str):
        found["_target_"] = moved(found["_target_"])
    return found


def _renamed_keys(cfg: dict[str, Any]) -> dict[str, Any]:
    """The config with the keys of KEYS renamed and those of GONE dropped, each in its place."""
    found: dict[str, Any] = {}
    for section, value in cfg.items():
        if isinstance(value, dict):
            named = {key: _renamed_key(f"{section}.{key}").partition(".")[2] for key in value}
            value = {named[key]: item for key, item in value.items() if f"{section}.{key}" not in GONE}
        found[section] = value
    return found


def _renamed_key(key: str) -> str:
    """The key itself, or a key within one that is renamed."""
    for name, today in KEYS.items():
        if key == name or key.startswith(f"{name}."):
            return today + key.removeprefix(name)
    return key


def _with_names(old: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """The mapping with some of its keys under other names, in the same places."""
    return {names.get(key, key): item for key, item in old.items()}


def _evaluate(section: dict[str, Any]) -> dict[str, Any]:
    found = dict(section)
    if found.get("metric"):
        found["metric"] = [metric(name) for name in found["metric"]]
    if found.get("settings"):
        found["settings"] = _overrides(found["settings"])
    return found


def _overrides(texts: list[str]) -> list[str]:
    return [text for text in map(override, texts) if text is not None]


def _split(text: str) -> tuple[str, str, str, str]:
    """Sign, key, equals sign and value of an override."""
    key, equals, value = text.partition("=")
    bare = key.lstrip("+~")
    return key[: len(key) - len(bare)], bare, equals, value


def _chosen(group: str, value: str) -> str:
    """The files that a value of a group names: one, a list in brackets, or a sweep with commas."""
    return re.sub(r"[\w.-]+", lambda word: CHOICES[group].get(word[0], word[0]), value)


def _paths(value: str) -> str:
    """A value in which classes of this package are named."""
    return re.sub(r"\bgan_cli(?:\.\w+)+", lambda path: moved(path[0]), value)
