"""From schema version 1 (version 0.1) to 2 (version 0.2): modules in rooms, and names that are the field's.

Everything here is plain data. A node whose class kept its name is found by its module alone.
"""

from __future__ import annotations

import re
from typing import Any

from gan_cli.config.migrations.names_of_0_1 import CHOICES, CLASSES, DIRECTIONS, GONE, KEYS, LATER, MODULES, STATE


def config(old: dict[str, Any]) -> dict[str, Any]:
    """A run's config.yaml. Idempotent, because a process may be killed between writing the config and its version."""
    found = _renamed_keys(_node(old))
    if isinstance(found.get("model"), dict):
        found["model"] = _fakes(found["model"])
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


def _fakes(model: dict[str, Any]) -> dict[str, Any]:
    """A system by the way in which its generator's turn gets its samples, which has classes of its own now."""
    target, found = model.get("_target_"), dict(model)
    if target == "gan_cli.systems.gan.GAN":
        if found.get("fakes_per_real", 1) > 1:
            found["_target_"] = "gan_cli.systems.many_fakes.ManyFakesGAN"
            found.pop("share_fakes", None)
            return found
        found.pop("fakes_per_real", None)
        if "share_fakes" in found:
            found["_target_"] = "gan_cli.systems.shared_fakes.SharedFakesGAN"
    if target == "gan_cli.systems.pacgan.PacGAN":
        found.setdefault("share_fakes", False)
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
