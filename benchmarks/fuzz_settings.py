"""Cases of benchmarks/fuzz.py for `gan train`: a leaf of a small model's configuration, and a value for it.

The expected verdict is written with the case: from the annotation of the leaf, which says which kinds of values it
takes, and from the tables of fuzz_values.py, which say what numbers mean something there.
"""

from __future__ import annotations

import dataclasses
import inspect
import random
import re
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

from fuzz_values import (
    FLOATS,
    GROUPS,
    INTEGERS,
    LISTS,
    NAMES,
    NOT_FINITE,
    OPTIMIZERS,
    POSITIVE,
    SCHEDULES,
    SELF,
    STRANGE,
    TARGETS,
)
from helpers import ROOT, composed, config_names
from omegaconf import OmegaConf
from test_models import SMALL

from gan_cli.config.schema import Settings, TrainerSettings
from gan_cli.config.targets import hints, target

RUN, REFUSED = frozenset({0}), frozenset({2})
EITHER = RUN | REFUSED
"""Both are right: the number is odd, yet the formula takes it, or only the network can tell."""
DIVERGES = frozenset({0, 2, 3})


@dataclasses.dataclass(frozen=True)
class Case:
    """Words after `gan`, the statuses that are right, and what was changed. runs: whether it needs prepared runs."""

    words: list[str]
    expected: frozenset[int]
    what: str
    runs: bool = False


# -- small models


BASE = ["trainer.iterations=1", "trainer.batch_size=4", "trainer.sample_count=4", "trainer.log_every=1",
        "trainer.device=cpu", "dataset.size=64", "hydra.run.dir=run"]  # fmt: skip
PARTS: dict[str, tuple[str, tuple[str, ...]]] = {  # group -> where its leaves are, and the names that fit
    "loss": ("loss", ()), "optimizer": ("optimizer", OPTIMIZERS), "trainer/schedule": ("trainer.schedule", SCHEDULES),
    "dataset": ("dataset", ("ring", "grid", "swissroll", "mixture_1d")),
    "metric": ("metric", ("[modes,prdc,fid,kid]",)),
}  # fmt: skip
POINTS = ["network=mlp_points", "dataset=ring", "model.generator.widths=[8]", "model.discriminator.widths=[8]"]


@cache
def small(model: str) -> tuple[str, ...]:
    """The words that train a model quickly."""
    many = ["dataset.size=600"] if "ladder" in model else []  # of which 10 of each class have labels
    return (f"model={model}", *SMALL.get(model, []), *BASE, *many)


@cache
def leaves(words: tuple[str, ...]) -> dict[str, Any]:
    """Every leaf of the configuration that the words compose, and every mapping with a `_target_` -> its value."""
    plain = OmegaConf.to_container(composed(*words), resolve=False)

    def walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
        if isinstance(value, dict) and value:
            if "_target_" in value:
                yield path, value
            for key, child in value.items():
                yield from walk(child, f"{path}.{key}" if path else str(key))
        elif not path.startswith(("expect", "evaluate", "variants", "extractor")):
            yield path, value

    return dict(walk(plain, ""))


def annotation(found: dict[str, Any], path: str) -> Any:
    """The type hint of the constructor's argument that a leaf gives; None if there is none."""
    parent, _, key = path.rpartition(".")
    if parent in ("trainer", ""):
        owner: Callable[..., Any] = TrainerSettings if parent else Settings
    elif "_target_" not in found.get(parent, {}):
        return None
    else:
        owner = target(found[parent]["_target_"])
    return hints(owner).get(key)


def kinds(hint: Any) -> set[type]:
    """The plain types that a hint takes; `object` stands for a part that has a `_target_`."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return set().union(*(kinds(argument) for argument in arguments))
    if origin is typing.Literal:
        return {type(argument) for argument in arguments}
    if hint is float:
        return {int, float}
    if hint in (int, bool, str, type(None), list, dict):
        return {hint}
    if origin in (list, tuple) or getattr(origin, "__name__", "") == "Sequence":
        return {list}
    return {object}


# -- mutations of one leaf: (word, expected, what)

Mutation = tuple[str, frozenset[int], str]


def wrong_kinds(path: str, takes: set[type]) -> Iterator[Mutation]:
    """Values of kinds that a leaf does not take, and strange ones."""
    free = str in takes  # a choice among words, which are in no table below, or any text
    for text in STRANGE:
        word = f"{path}={text % path if text is SELF else text}"
        yield word, REFUSED if not free or text in ("", "''", "{", "[", "'", SELF) else EITHER, "strange"
    plain = {bool: "true", int: "1", float: "1.5", type(None): "null", list: "[1]", dict: "{b:2}"}
    for kind, text in plain.items():
        if kind not in takes and not (kind is list and object in takes):
            yield f"{path}={text}", REFUSED, f"a {kind.__name__}"
    for text in NOT_FINITE:
        if not free:
            yield f"{path}={text}", REFUSED, "not finite, or too large"


def right_kinds(path: str, value: Any, takes: set[type], optional: bool) -> Iterator[Mutation]:
    """Values of the right kind, in range or not."""
    key = path.rpartition(".")[2]
    if bool in takes:
        texts = ("false", "FALSE") if key == "compile" else ("true", "false", "True", "FALSE")  # it takes a minute
        expected = EITHER if key == "channels_last" else RUN  # wrong with instance normalization on a CPU
        yield from ((f"{path}={text}", expected, "a switch") for text in texts)
    elif list in takes:
        good, bad = LISTS.get(key, ([], []))
        yield from ((f"{path}={text}", RUN, "another list") for text in good)
        yield from ((f"{path}={text}", REFUSED, "a wrong list") for text in bad)
    elif float in takes:
        numbers, wrong = FLOATS.get(key, POSITIVE)
        yield from ((f"{path}={number}", RUN, "another number") for number in numbers)
        yield from ((f"{path}={number}", REFUSED, "out of range") for number in wrong)
        if not wrong:
            yield from ((f"{path}={number}", DIVERGES, "odd") for number in (-1, 0, 1e30, -1e30))
    elif int in takes:
        good, bad = INTEGERS.get(key, ([], []))
        yield from ((f"{path}={number}", RUN, "another integer") for number in good)
        yield from ((f"{path}={number}", REFUSED, "out of range") for number in bad)
        yield f"{path}={2**63}", REFUSED, "beyond 64 bits"
        if 0 not in [*good, *bad]:
            yield f"{path}=0", EITHER, "odd"
    if type(value) in (int, float, bool, list):
        yield f"{path}={str(value).replace(' ', '')}", RUN, "the value as it is"
    yield f"~{path}", EITHER if optional else REFUSED, "deleted"


def of_node(path: str, value: dict[str, Any], takes: set[type]) -> Iterator[Mutation]:
    """A mapping with a `_target_`: other targets, keys that it has not, and values in its place."""
    for name in TARGETS:
        if name != value["_target_"] and not (name == "torch.optim.Adam" and path == "optimizer"):
            yield f"{path}._target_={name}", REFUSED, "another target"
    yield f"~{path}._target_", REFUSED, "no target"
    for text in ("-1", "true", "false", "null", "x"):
        yield f"+{path}._partial_={text}", REFUSED, "_partial_"
    for key in ("_args_", "_convert_", "_recursive_", "nope", "größe", "'a b'", "0", "*", "_target", "__class__"):
        yield f"+{path}.{key}=1", REFUSED, "a key that it has not"
        yield f"{path}.{key}=1", REFUSED, "a key that it has not"
    wrong = ("abc", "[]", "[1]", "true", "nan", "''", "{nope:1}", "${nothing}", "${trainer}")
    numbers = () if takes & {int, float} else ("5", "1.5", "${seed}")  # such as a margin, which may be a schedule
    for text in (*wrong, *numbers):
        yield f"{path}={text}", REFUSED, "no mapping"
    if "." in path:
        yield f"{path}={{}}", RUN, "nothing merged"


def optional(found: dict[str, Any], path: str) -> bool:
    """Whether the constructor has a default for a leaf."""
    parent, _, key = path.rpartition(".")
    if parent == "trainer":
        fields = {field.name: field for field in dataclasses.fields(TrainerSettings)}
        return key in fields and fields[key].default is not dataclasses.MISSING
    if path == "optimizer.networks" or "_target_" not in found.get(parent, {}):
        return path in ("modules", "metric", "extractor", "optimizer.networks")
    parameter = inspect.signature(target(found[parent]["_target_"])).parameters.get(key)
    return parameter is not None and parameter.default is not parameter.empty


def mutations(words: tuple[str, ...], path: str) -> list[list[Mutation]]:
    """The mutations of a leaf, in lists of one kind each: wrong kinds, and right ones."""
    found = leaves(words)
    value = found[path]
    if isinstance(value, dict) and "_target_" in value:
        return [list(of_node(path, value, kinds(annotation(found, path))))]
    if path.endswith("_target_"):
        return []
    takes = kinds(annotation(found, path)) | {type(value)} - {str}
    if isinstance(value, str) and value.startswith("${"):  # its value is that of another leaf
        takes -= {str}
        wrong = list(wrong_kinds(path, takes | {type(None)}))
        return [[*wrong, (f"{path}={value}", RUN, "the interpolation as it is")]]
    return [list(wrong_kinds(path, takes)), list(right_kinds(path, value, takes, optional(found, path)))]


# -- cases


def replaced(words: tuple[str, ...], mutation: str) -> list[str]:
    """The words of a small model with one more, which takes the place of a word with the same key."""
    key = mutation.lstrip("+~").partition("=")[0]
    return ["train", *(word for word in words if word.partition("=")[0] != key), mutation]


@cache
def pairs() -> dict[tuple[str, str], str]:
    """(loss, model) -> + or w if they go together, from docs/PAIRS.md."""
    rows = [re.split(r" *\| *", line.strip("| ")) for line in (ROOT / "docs/PAIRS.md").read_text().splitlines()
            if line.startswith("| ")]  # fmt: skip
    return {(row[0], model): mark for row in rows[2:] for model, mark in zip(rows[0][1:], row[1:])}


def of_leaf(draw: random.Random) -> Case:
    """A leaf of a model."""
    model = draw.choice(config_names("model"))
    return changed(model, small(model), sorted(leaves(small(model))), draw)


def of_part(draw: random.Random) -> Case:
    """A leaf of what may be chosen beside a model: a loss, an optimizer, a schedule, data, a metric."""
    model, group = draw.choice(("dcgan", "wgan_gp", "sgan")), draw.choice(tuple(PARTS))
    name, (section, names) = "", PARTS[group]
    while not name or (group == "loss" and pairs()[name, model] not in "+w"):
        name = draw.choice(names or config_names(group))
    if group in ("dataset", "metric"):
        model, base = "points", ("model=dcgan", *POINTS, *(word for word in BASE if word != "dataset.size=64"))
        words = (*(word for word in base if not word.startswith(f"{group}=")), f"{group}={name}")
    else:
        steps = ("loss.critic_steps.high=2", "loss.critic_steps.low=1") if name in ("wgan", "mmd_gan") else ()
        words = (*(word for word in small(model) if not word.startswith("loss.")), f"{group}={name}", *steps)
    paths = [path for path in sorted(leaves(words)) if path.startswith(section)]
    return changed(f"{model}, {group}={name}", words, paths, draw)


def changed(name: str, words: tuple[str, ...], paths: Sequence[str], draw: random.Random) -> Case:
    """A mutation of one of the paths."""
    groups: list[list[Mutation]] = []
    while not groups:
        groups = [group for group in mutations(words, draw.choice(paths)) if group]
    group = draw.choice(groups[-1:] * 2 + groups[:1])
    new = [mutation for mutation in group if not mutation[2].endswith("as it is")]
    word, expected, what = draw.choice(new if new and draw.random() < 0.9 else group)
    return Case(replaced(words, word), expected, f"{name}: {what}")


def of_group(draw: random.Random) -> Case:
    """A group with a wrong name, or a right one."""
    model = draw.choice(config_names("model"))
    group = draw.choice(GROUPS)
    name = draw.choice(NAMES)
    alike = name.startswith("../model") or {name, name.strip("[]")} & set(config_names(group))  # a path to a file
    expected = EITHER if alike or (name == "[]" and group in ("experiment", "extractor")) else REFUSED
    words = small(model) if group != "model" else tuple(BASE)
    return Case(["train", *words, f"{group}={name}"], expected, f"a name in {group}")


def of_pair(draw: random.Random) -> Case:
    """A model with another loss, optimizer or schedule."""
    model = draw.choice(config_names("model"))
    kind = draw.choice(("loss", "optimizer", "trainer/schedule"))
    if kind == "loss":
        loss = draw.choice(config_names("loss"))
        mark = pairs()[loss, model]
        steps = ["loss.critic_steps.high=2"] if loss in ("wgan", "mmd_gan") else []
        words = [word for word in small(model) if not word.startswith("loss.")]
        return Case(["train", *words, f"loss={loss}", *steps], RUN if mark in "+w" else REFUSED, f"{model}, {loss}")
    name = draw.choice(OPTIMIZERS if kind == "optimizer" else config_names(kind))
    unknown = model == "unrolled" and name.startswith("rmsprop")  # it differentiates steps of Adam and SGD
    return Case(["train", *small(model), f"{kind}={name}"], REFUSED if unknown else RUN, f"{model}: {kind}")


def of_points(draw: random.Random) -> Case:
    """Valid settings of points, in which several change at once."""
    words = ["model=" + draw.choice(("dcgan", "wgan_gp", "lsgan", "unrolled", "fgan")), *POINTS, *BASE[:-2], BASE[-1]]
    optimizers = [name for name in OPTIMIZERS if not (words[0] == "model=unrolled" and name.startswith("rmsprop"))]
    words = [word for word in words if not word.startswith("trainer.batch_size")]
    more = {
        "trainer.batch_size": ("2", "5", "16"), "seed": ("0", "7", "123456789"), "trainer.ema_decay": ("0", "0.9"),
        "trainer.precision": ("float32", "bfloat16"), "trainer.deterministic": ("true", "false"),
        "trainer.max_time": ("2h", "90m", "3600", "null"), "trainer.keep_checkpoints": ("0", "2"),
        "trainer.prefetch": ("true", "false", "null"), "trainer.cpu_fast_paths": ("true", "false"),
        "optimizer.lr": ("1e-4", "0.01"), "dataset.n_modes": ("1", "5"), "dataset.std": ("0.01", "0.5"),
        "dataset.radius": ("1", "3.5"), "optimizer.networks.generator.lr": ("1e-3",), "model.latent_dim": ("1", "9"),
        "model.generator.widths": ("[4]", "[4,4,4]"), "trainer.checkpoint_every": ("1",),
        "trainer.sample_every": ("1",),
        "optimizer": optimizers, "trainer/schedule": ("linear", "constant"), "metric": ("[modes]", "[]"),
    }  # fmt: skip
    for key in draw.sample(sorted(more), 4):
        words = [word for word in words if word.partition("=")[0] != key] + [f"{key}={draw.choice(more[key])}"]
    return Case(["train", *words, "trainer.evaluate_count=50"], RUN, "points: several settings")


def of_words(draw: random.Random) -> Case:
    """Words that are no overrides, keys that are nowhere, and places for the run."""
    folder = ["'my runs (1)'", "größe", "a/b/c", "'x#y'", "'it\\'s'", "'a,b'", "'a=b'", "'[a]'", "'{a}'"]
    wrong = [
        "nope", "=", "==", "=1", "~", "+", "++", "+=1", "~nope", "nope=1", "+nope=1", "++nope=1", "+trainer.nope=1",
        "trainer.nope=1", "hydra.nope=1", "modules=..", "modules=../..", "seed=",
        "--nope", "--config-name=nope", "--config-dir=nope", "--config-path=/nope", "-x", "model", "model=", "~model",
        "~loss", "~dataset", "~trainer", "~optimizer", "~network.nope", "sweep.workers=2", "sweep=ebgan_mnist_grid",
        "optimizer.networks.nope.lr=1", "optimizer.networks=5", "optimizer.networks=[1]", "optimizer.networks.x=5",
        "optimizer.networks.generator=5", "optimizer.networks.generator.nope=5", "optimizer.networks.generator.lr=-1",
        "metric=nope", "metric=[nope]", "metric=[[modes]]", "metric.fid.nope=1", "metric={a:1}", "metric=[modes,nope]",
        "extractor=nope", "extractor={}", "hydra/launcher=nope", "a@b=c",
        "dataset=image_folder", "dataset=unpaired_folder", "dataset.root=nope", "dataset=image_folder@", "trainer=5",
        "seed=[0,1]", "seed=0,1", "seed=range(0,3)", "seed=${seed}", "seed=${now:%s}x", "seed=${hydra:nope}", "seed=é",
        "hydra.run.dir=/proc/nope", "hydra.run.dir=/dev/null", "hydra.run.dir=",
        "hydra.run.dir=null",
        "hydra.run.dir=[a]", "hydra.mode=5", "hydra=5", "hydra.job.chdir=maybe", "--cfg=nope", "--info=nope",
        "--resolve",
    ]  # fmt: skip
    words = ["train", *POINTS, *BASE[:-2]]
    if draw.random() < 0.3:
        return Case([*words, f"hydra.run.dir={draw.choice(folder)}"], RUN, "a place with strange signs")
    return Case([*words, "hydra.run.dir=run", draw.choice(wrong)], REFUSED, "wrong words")


def training_case(draw: random.Random) -> Case:
    """A case of `gan train`."""
    kind = draw.choices((of_leaf, of_part, of_group, of_pair, of_points, of_words), (50, 17, 4, 12, 10, 6))[0]
    return kind(draw)
