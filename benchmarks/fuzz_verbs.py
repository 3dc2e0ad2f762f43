"""Cases of benchmarks/fuzz.py for the verbs that use a run: an option of a verb, and a value for it.

The folder of such a case holds four small runs: `points` (without labels), `plain` (images), `labels` (images of six
classes) and `cycle` (a translation); images in `photos`, a text as an image in `broken`, weights in the file
`weights.pth`, and the experiment `tiny` in `mine`. Each table has the values that work and those that are refused.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import torch
from fuzz_settings import BASE, EITHER, POINTS, REFUSED, RUN, Case
from fuzz_values import HUGE
from helpers import save_plain
from test_import_weights import resnet_names
from test_reproduce import TINY

from gan_cli.cli.verbs import VERBS
from gan_cli.networks.resnet import ResNetGenerator

Values = dict[str, tuple[list[str], list[str]]]
PLAIN = ["model=dcgan", "model.generator.width=2", "model.discriminator.width=2", "dataset.image_size=16"]
TRAINED = {
    "points": POINTS,
    "plain": PLAIN,
    "labels": ["model=acgan", *PLAIN[1:]],
    "cycle": ["model=cyclegan", "dataset.image_size=16", *(f"model.{n}.width=2" for n in ("G", "F", "D_X", "D_Y")),
              "model.G.blocks=1", "model.F.blocks=1", "model.D_X.n_layers=1", "model.D_Y.n_layers=1"],
}  # fmt: skip
"""Run -> the words that train it, besides BASE."""

WORDS = [
    "abc", "", " ", "''", "[]", "[[1]]", "{}", "{a:1}", "null", "none", "nan", "inf", "-inf", "1e39", "1e400", "true",
    "1.5", "-1", str(10**400), str(2**63), str(HUGE), "größe—日本", "a\nb", "a\x00b"[:1], "x" * 5000, "\x1b[31mred",
    "$(ls)", "`ls`", "${oc.env:HOME}", "a,,b", ",", "../..", "/etc/passwd", "/proc/self/mem", "~", "*", "%s%n", "{0}",
    "[" * 200, "it's", 'quo"ted', "0x10", "１", "1_000", "+1", "--1", "1,2", "#", "\\", "\u202e", "nope.pt",
]  # fmt: skip
NO_INT = ["abc", "", " ", "''", "[]", "{a:1}", "nan", "inf", "1.5", "1e3", "true", str(2**63), str(10**400), "1,2",
          "0x10", "1_000", "--1", "größe", "x" * 5000, "${seed}", "1 2", "\x1b[31m", "a\nb", "１x"]  # fmt: skip
NO_BOOL = ["abc", "", "1", "0", "yes", "None", "[true]", "nan", "true,false", "TRUEE", "x" * 3000]
NO_FILE = ["nope", "nope/none", "nope.pt", "", " ", "x" * 300, "x" * 5000, "größe", "a\nb", "\x1b[31m", "/proc/nope",
           "*", "${oc.env:HOME}", "/dev/null/x"]  # fmt: skip
NO_NAME = ["nope", "", " ", "[]", "{a:1}", "nan", "5", "-1", "../..", "größe", "x" * 5000, "a\nb", "\x1b[31m", "${a}",
           "/etc/passwd", "~", "*", "'", "\\", "[[1]]", "null"]  # fmt: skip
PLACES = ["new", "new folder (1)", "größe", "a/b/c", "it's", "a=b", "x#y", "a,b", "[a]", "{a}", "$HOME", "-x"]
NO_PLACE = ["", " ", "/proc/nope", "/dev/null", "/dev/null/x", "x" * 300, "photos/0.png", "photos/0.png/x"]
WEIGHTS: Values = {
    "checkpoint": (["last", "1"], ["best", "0", "-1", "7", "photos/0.png", "photos", *NO_NAME]),
    "weights": (["auto", "ema", "raw"], [*NO_NAME, "EMA", "both"]),
    "device": (["auto", "cpu"], ["gpu", "cuda:x", "cpu:0", "cuda:99", *NO_NAME]),
    "modules": ([], [".", "a..b", "a b", "../..", "5", "[1]", "a-b", "", "'", "\x1b[31m"]),
}
SEED = (["0", "1", str(2**62)], ["-1", *NO_INT])
COUNT = (["1", "2", "7"], ["0", "-1", *NO_INT])
DIRECTION = (["AtoB", "BtoA"], ["atob", "AtoA", "A", *NO_NAME])
OPTIONS: dict[str, Values] = {
    "sample": {
        "n": COUNT, "seed": SEED, "out": (PLACES, NO_PLACE), "dataset.root": ([], NO_FILE), **WEIGHTS,
    },
    "translate": {
        "input": (["photos", "photos/0.png"], ["broken", "mine", *NO_FILE]), "output": (PLACES, NO_PLACE),
        "direction": DIRECTION, "seed": SEED, "contact_sheet": (["true", "false"], NO_BOOL),
        "n": ([], ["0", "-1", "2", *NO_INT]), "style": ([], ["photos", *NO_FILE]), "instances": ([], ["photos",
        *NO_FILE]),
        "resize": (["8", "16", "24"], ["0", "-1", str(HUGE), *NO_INT]),
        "tile": (["16", "64"], ["0", "-1", *NO_INT]), "overlap": ([], ["-1", "99999", *NO_INT]), **WEIGHTS,
    },
    "export": {
        "format": (["safetensors"], ["ONNX", "pt", *NO_NAME]), "network": (["G", "F"], ["X", "g", *NO_NAME]),
        "direction": DIRECTION, "seed": SEED, "out": (PLACES, NO_PLACE),
        **{key: values for key, values in WEIGHTS.items() if key != "device"},
    },
    "import": {
        "model": (["cyclegan"], ["pix2pix", "dcgan", *NO_NAME]), "G": (["weights.pth"], ["photos/0.png", "photos",
        *NO_FILE]),
        "F": (["weights.pth"], ["photos/0.png", "photos", *NO_FILE]), "size": (["24", "32"], ["0", "-1", str(HUGE),
        *NO_INT]),
        "out": (PLACES, ["cycle", *NO_PLACE]),
    },
    "web": {
        "port": ([], ["-1", "70000", str(HUGE), *NO_INT]), "direction": ([], ["atob", *NO_NAME]),
        **{key: ([], bad) for key, (_, bad) in WEIGHTS.items()},
    },
    "evaluate": {
        "metric": (["modes", "[modes]", "modes,prdc"], ["modes,nope", "modes,", "[[modes]]", *NO_NAME]),
        "n": (["40", "50"], ["0", "-1", *NO_INT]), "seed": SEED,
        "extractor": (["auto", "pixels", "random"], ["", *NO_NAME]), "direction": ([], ["AtoB", *NO_NAME]),
        "real": ([], ["photos"]), "fake": ([], ["photos"]), "image_size": ([], ["16"]), "out": ([], ["new"]),
        "metric.modes.threshold": ([], ["abc", "null", "[]", "nan", "inf", "{a:1}", "true", "", "1e400"]),
        "metric.prdc.k": (["3", "5"], ["0", "-1", "abc", "null", "1.5", "[]", "nan", str(10**400), str(HUGE), ""]),
        "metric.nope": ([], ["1"]), "metric.modes.nope": ([], ["1"]), "metric.nope.x": ([], ["1"]), "metric.": ([],
        ["1", ""]),
        "extractor.nope": ([], ["1", "", "[]"]), "dataset.nope": ([], ["1", "", "[]"]), "extractor.": ([], ["1"]),
        "dataset.root": ([], NO_FILE), **WEIGHTS,
    },
    "compare": {
        "metric": (["modes"], ["nope", "", "[]", "modes,,"]), "sort": (["iterations", "modes"], NO_NAME),
        "filter": (["lr=0.0002", "seed<=4", "seed=0"], ["nope=1", "lr", "", "lr==1", "=", "lr=", "<=", "x" * 5000]),
        "histogram": (["modes"], NO_NAME), "bin_width": ([], ["0", "-1", "abc", "nan", "inf", "", "1e400", "true",
        "[]"]),
        "out": (PLACES, NO_PLACE),
    },
    "reproduce": {
        "seeds": (["0", "[0,1]", "5"], ["[]", "-1", "a", "0,,1", "1.5", "nan", "", "0,0", str(2**63), "[[0]]", "{}"]),
        "variant": ([], NO_NAME), "out": (PLACES[:3], NO_PLACE[2:]),
        "trainer.iterations": (["1"], ["0", "-1", "abc", "nan", "null", "[]", str(10**400)]),
        "nope": ([], ["1", "", "[]"]), "seed": ([], ["abc", "nan"]),
    },
    "search": {
        "metric": (["modes"], NO_NAME), "trials": (["1", "2"], ["0", "-1", *NO_INT]), "workers": (["1"], ["0", "-1",
        *NO_INT]),
        "prune": (["true", "false"], NO_BOOL), "out": (PLACES[:3], NO_PLACE),
        "space.optimizer.lr": (["uniform(1e-4,1e-3)", "[1e-3,1e-4]"], [
            "log(0,1)", "log(1,0)", "log(a,b)", "log(-1,1)", "uniform(1)", "uniform(nan,1)", "uniform(1,inf)",
            "int(1.5,2)",
            "[]", "[a]", "nope(1,2)", "", "log(1e-5,1e-2", "5", "[[1]]", "log(1,1e400)", "int(1,1e3)", "[-1]",
            "log(2,1)",
        ]),
        "space.nope": ([], ["log(1e-5,1e-2)", "[1,2]"]), "space.": ([], ["[1,2]", ""]), "nope": ([], ["1"]),
        "trainer.iterations": ([], ["0", "abc", "nan"]), "seed": ([], ["abc", "-1"]),
    },
    "bench": {
        "repeats": ([], ["0", "-1", *NO_INT]), "baseline": ([], ["nope", "photos", *NO_FILE[:3]]),
        "variants": ([], ["nope", "default,nope", "", "[]", "default,,"]), "gradient_checks": ([], ["0", "-1",
        *NO_INT]),
        "threads": ([], ["0", "-1", *NO_INT]), "versus": ([], ["nope"]), "ready_text": ([], ["x"]), "root": ([],
        ["photos"]),
        "out": ([], NO_PLACE), "nope": ([], ["1"]), "trainer.batch_size": ([], ["0", "abc"]), "seed": ([], ["-1",
        "abc"]),
    },
    "demo": {"out": (PLACES, NO_PLACE)},
    "resume": {
        "trainer.iterations": (["2", "3"], ["1", "0", "-1", "abc", "nan", "null", "[]", "1.5", str(10**400), "true",
        ""]),
        "trainer.batch_size": ([], ["0", "-1", "abc", "nan", str(HUGE)]), "optimizer.lr": ([], ["0", "-1", "abc",
        "nan", "inf"]),
        "nope": ([], ["1"]), "trainer.nope": ([], ["1"]), "model.generator.widths": ([], ["[9]", "abc", "[]", "null"]),
        "model": ([], NO_NAME), "dataset": ([], NO_NAME), "seed": ([], ["abc", "nan", "-1"]), "modules": (["mine"],
        ["..", "a b"]),
        "hydra.run.dir": ([], ["new"]), "dataset.image_size": ([], ["9", "abc", "null"]),
    },
}  # fmt: skip
RUNS = {"sample": ["points", "plain", "labels"], "translate": ["cycle"], "export": ["cycle"], "web": ["cycle"],
        "evaluate": ["points"], "compare": ["points"], "resume": ["points"]}  # fmt: skip
NEEDED = {
    "translate": {"input": "photos", "output": "new"}, "evaluate": {"metric": "modes", "n": "40", "device": "cpu"},
    "sample": {"n": "2"}, "export": {"format": "safetensors"}, "import": {"G": "weights.pth", "size": "24"},
    "web": {}, "compare": {"out": "new"}, "demo": {}, "resume": {"trainer.iterations": "2"}, "bench": {"repeats": "1"},
    "reproduce": {"seeds": "0"},
    "search": {"metric": "modes", "trials": "1", "workers": "1", "space.optimizer.lr": "log(1e-5,1e-2)"},
}  # fmt: skip
"""Verb -> options that stand in each of its cases, unless the case is about them."""
TINY_TRAINING = [*POINTS, "trainer.iterations=2", "trainer.batch_size=8", "trainer.sample_count=4",
"trainer.device=cpu",
                 "trainer.evaluate_every=1", "trainer.evaluate_count=40"]  # fmt: skip
PAIRS: list[tuple[str, str, frozenset[int]]] = [  # lines that are about several words
    ("sample labels label=2 n=1", "a class", RUN), ("sample labels label=0 n=1", "a class", RUN),
    ("sample labels label=6 n=1", "a class too many", REFUSED), ("sample labels label=-1 n=1", "a class", REFUSED),
    ("sample plain label=1 n=1", "a class of a model without", REFUSED), ("sample cycle n=1", "a translation", EITHER),
    ("sample", "no run", REFUSED), ("sample nope", "no such run", REFUSED), ("sample photos", "no run", REFUSED),
    ("sample points points", "two runs", REFUSED), ("sample points n=1 n=2", "twice", REFUSED),
    ("sample points --n=1", "dashes", REFUSED), ("sample points nope=1", "unknown", REFUSED), ("sample n=1", "no run",
    REFUSED),
    ("translate points input=photos output=new", "no translation", REFUSED), ("translate cycle", "nothing", REFUSED),
    ("translate cycle input=photos", "no output", REFUSED), ("translate cycle output=new", "no input", REFUSED),
    ("translate cycle input=photos output=photos", "onto itself", REFUSED), ("web points", "no translation", REFUSED),
    ("translate cycle input=photos output=new tile=32 overlap=8", "tiles", RUN), ("export", "no run", REFUSED),
    ("translate cycle input=photos output=new tile=32 overlap=32", "overlap", REFUSED),
    ("evaluate points", "no metric", EITHER), ("evaluate points metric=domain_modes n=40", "foreign metric", REFUSED),
    ("evaluate real=photos fake=photos metric=kid extractor=pixels n=2", "few", EITHER), ("evaluate", "nothing",
    REFUSED),
    ("evaluate real=photos", "no fake", REFUSED), ("evaluate fake=photos", "no real", REFUSED),
    ("evaluate real=nope fake=photos metric=fid", "no folder", REFUSED), ("compare", "nothing", REFUSED),
    ("evaluate real=photos fake=broken metric=fid", "a broken image", REFUSED),
    ("evaluate real=photos fake=mine metric=fid", "no image", REFUSED), ("compare nope", "no folder", REFUSED),
    ("evaluate real=noise fake=photos metric=fid", "noise", REFUSED), ("compare photos", "no run", REFUSED),
    ("evaluate real=shapes:nope fake=photos metric=fid", "a split", REFUSED), ("compare points plain", "two", RUN),
    ("compare points plain labels cycle out=new", "four", RUN), ("compare points points", "the same twice", EITHER),
    ("compare points nope=1", "unknown", REFUSED), ("list", "groups", RUN), ("list model", "models", RUN),
    ("list nope", "a group", REFUSED), ("list model loss", "two groups", REFUSED), ("list ../..", "a group", REFUSED),
    ("list metric", "metrics", RUN), ("list dataset/", "a slash", RUN), ("list ''", "a group", REFUSED),
    ("completion bash", "a shell", RUN), ("completion zsh", "a shell", RUN), ("completion fish", "a shell", RUN),
    ("completion", "no shell", REFUSED), ("completion tcsh", "a shell", REFUSED), ("demo", "the list", RUN),
    ("demo nope", "a demo", REFUSED), ("demo out=new", "no demo", REFUSED), ("demo ../..", "a demo", REFUSED),
    ("demo divergences nope=1", "unknown", REFUSED), ("import", "nothing", REFUSED), ("import nope.pth", "no file",
    REFUSED),
    ("import photos/0.png", "an image", REFUSED), ("import weights.pth weights.pth", "two files", REFUSED),
    ("import weights.pth G=weights.pth", "both", REFUSED), ("import weights.pth model=pix2pix", "another model",
    REFUSED),
    ("import weights.pth", "as it is", RUN), ("import mine", "a folder", REFUSED), ("reproduce", "nothing", REFUSED),
    ("reproduce nope", "no experiment", REFUSED), ("reproduce seeds=0", "no experiment", REFUSED),
    ("reproduce ../x", "a path", REFUSED), ("search", "nothing", REFUSED), ("search metric=modes", "no space", REFUSED),
    ("bench", "nothing", REFUSED), ("bench nope", "a kind", REFUSED), ("bench step root=photos", "foreign", REFUSED),
    ("bench flops baseline=bare", "foreign", REFUSED), ("bench data threads=2", "foreign", REFUSED),
    ("resume", "nothing", REFUSED), ("resume nope", "no run", REFUSED), ("resume photos", "no run", REFUSED),
    ("resume points", "finished", REFUSED), ("nope", "a verb", REFUSED), ("", "the help", RUN), ("help", "help", RUN),
    ("--nope", "an option", REFUSED), ("help nope", "a verb", REFUSED), ("--version", "version", RUN), ("x=1", "",
    REFUSED),
    *((f"help {verb}", "help", RUN) for verb in VERBS), *((f"{verb} --help", "help", RUN) for verb in VERBS),
]  # fmt: skip


def prepare(folder: Path, train: Callable[[list[str], Path], int]) -> None:
    """Train the runs, and write the other files of the folder. train: runs `gan` with words in a folder."""
    for number in range(3):
        save_plain(folder / f"photos/{number}.png", (80 * number, 9, 200), (20, 24))
    (folder / "broken").mkdir()
    (folder / "broken/a.jpg").write_text("not an image")
    (folder / "mine/experiment").mkdir(parents=True)
    (folder / "mine/experiment/tiny.yaml").write_text(TINY)
    torch.manual_seed(0)
    torch.save(resnet_names(ResNetGenerator(16, 3, width=4, blocks=2).state_dict()), folder / "weights.pth")
    for name, words in TRAINED.items():
        given = {word.partition("=")[0] for word in words} | ({"dataset.size"} if name == "points" else set())
        base = [word for word in BASE[:-1] if word.partition("=")[0] not in given]
        words = ["train", *words, *base, "trainer.checkpoint_every=1", "trainer.keep_checkpoints=1"]
        if train([*words, f"hydra.run.dir={name}"], folder):
            raise SystemExit(f"the run {name} could not be trained")
    if train(["evaluate", "points", "metric=modes", "n=40", "device=cpu"], folder):
        raise SystemExit("the run could not be evaluated")


def words_of(verb: str, options: dict[str, str], draw: random.Random) -> list[str]:
    """A verb, what stands before its options, and the options."""
    first = {"demo": ["divergences"], "reproduce": ["tiny"], "bench": [draw.choice(("step", "flops"))]}
    begin = [draw.choice(RUNS[verb])] if verb in RUNS else first.get(verb, [])
    end = {"reproduce": ["--config-dir=mine", "trainer.device=cpu"], "search": TINY_TRAINING, "bench": TINY_TRAINING}
    more = [word for word in end.get(verb, []) if word.partition("=")[0] not in options]
    return [verb, *begin, *(f"{key}={value}" for key, value in options.items()), *more]


def verb_case(draw: random.Random) -> Case:
    """A case of a verb other than `gan train`."""
    if draw.random() < 0.2:
        line, what, expected = draw.choice(PAIRS)
        return Case(["" if word == "''" else word for word in line.split()], expected, what, runs=True)
    weights = {verb: 1 if verb in ("demo", "reproduce", "search", "bench") else 3 for verb in OPTIONS}
    verb = draw.choices(list(weights), list(weights.values()))[0]
    key = draw.choice(sorted(OPTIONS[verb]))
    good, bad = OPTIONS[verb][key]
    right = bool(good) and draw.random() < 0.4
    value = draw.choice(good if right else bad) if good or bad else ""
    options = {**NEEDED[verb], key: value}
    if key.startswith("space.") and key != "space.optimizer.lr":
        options.pop("space.optimizer.lr", None)
    if key.startswith("metric.prdc"):
        options = {"metric": "prdc", "extractor": "pixels", **{k: v for k, v in options.items() if k != "metric"}}
    expected = RUN if right else REFUSED
    if value in ("null", "none") and key in VERBS[verb].options and VERBS[verb].options[key].nullable:
        expected = EITHER  # the option is omitted
    return Case(words_of(verb, options, draw), expected, f"{verb} {key}", runs=True)
