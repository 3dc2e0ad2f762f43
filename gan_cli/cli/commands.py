"""What each verb does with its words: options read and checked, then the work, which is imported only now."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gan_cli import __version__
from gan_cli.cli.options import VERBS
from gan_cli.cli.parser import parse
from gan_cli.utils.errors import GanError

NOT_HERE = {
    "--shell-completion": "`gan completion bash`, zsh or fish prints what completes gan commands",
    "--experimental-rerun": "`gan resume RUN_DIR` goes on with a run; its provenance.json holds the command to repeat",
}
"""Options of Hydra's that do not fit this program, with what does."""


def train(words: list[str]) -> int:
    options = [word.partition("=")[0] for word in words if word.startswith("--")]
    for option in options:
        for name, instead in NOT_HERE.items():
            if len(option) > 4 and name.startswith(option):  # a part of the name is enough for Hydra
                raise GanError(f"gan train has no {name}: {instead}")
    if "--version" in options:
        print(f"gan {__version__}")
        return 0
    if "--resolve" in options and not any(word.startswith(("--c", "-c")) for word in words):
        raise GanError("--resolve is of --cfg alone: gan train --cfg job --resolve")
    if "--hydra-help" in options:
        words = ["--hydra-help"]  # overrides say nothing to it
    from gan_cli.config.composer import arguments, is_sweep

    args = arguments(words)
    if is_sweep(args):
        from gan_cli.experiments import sweep

        return sweep.run(args)
    from gan_cli.training import launch

    launch.train(args)
    return 0


def _run_dir(verb: str, words: list[str]) -> Path:
    """The run directory that the words begin with."""
    from gan_cli.training.find_runs import existing_run

    stray = [word for word in words if word.startswith("-")]
    if stray:
        raise GanError(f"gan {verb} has no option '{stray[0]}'; its options are written key=value")
    if not words or (re.match(r"[\w.]+=", words[0]) and not os.path.exists(words[0])):
        raise GanError(f"gan {verb} needs the run directory first: gan {verb} {VERBS[verb].usage}")
    if verb == "resume" and os.path.exists(os.path.join(words[0], "sweep.json")):
        return Path(words[0])
    return existing_run(words[0])


def _options(verb: str, words: list[str]) -> dict[str, Any]:
    """The options of a verb that builds a game."""
    options = parse(verb, words)
    options["allowed_modules"] = options.pop("modules", [])
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", options.get("device", "auto")):
        raise GanError(f"device must be auto, cpu or cuda, not '{options['device']}'")
    return options


def resume(words: list[str]) -> int:
    folder = _run_dir("resume", words)
    if (folder / "sweep.json").exists():
        from gan_cli.experiments import sweep

        return sweep.resume(folder, words[1:])
    from gan_cli.config.schema import command_line_modules

    allowed = command_line_modules(words[1:])
    from gan_cli.training import run

    run.resume(folder, words[1:], allowed)
    return 0


def sample(words: list[str]) -> int:
    folder, options = _run_dir("sample", words), _options("sample", words[1:])
    from gan_cli.inference import sampling

    sampling.sample(folder, **options)
    return 0


def translate(words: list[str]) -> int:
    folder, options = _run_dir("translate", words), _options("translate", words[1:])
    from gan_cli.inference import translation

    translation.translate(folder, **options)
    return 0


def export(words: list[str]) -> int:
    folder, options = _run_dir("export", words), _options("export", words[1:])
    from gan_cli.inference import export as work

    work.export(folder, **options)
    return 0


def edit(words: list[str]) -> int:
    folder, options = _run_dir("edit", words), _options("edit", words[1:])
    from gan_cli.inference import web_demo as work

    work.edit(folder, **options)
    return 0


def evaluate(words: list[str]) -> int:
    if not words or words[0].startswith(("real=", "fake=")):
        return _sources(words)
    folder, options = _run_dir("evaluate", words), _options("evaluate", words[1:])
    for key in ("real", "fake", "image_size", "out"):
        if key in options:
            raise GanError(f"{key}={options[key]}: of use only without a run directory")
    from gan_cli.evaluation import evaluate as work

    work.evaluate(folder, **options)
    return 0


def _sources(words: list[str]) -> int:
    """`gan evaluate real=... fake=...`."""
    options = _options("evaluate", words)
    for key in ("real", "fake"):
        if key not in options:
            raise GanError(f"gan evaluate needs a run directory, or real=SOURCE and fake=SOURCE ({key}= is missing)")
    for key in ("checkpoint", "weights", "direction"):
        if key in options:
            raise GanError(f"{key}={options[key]}: of use only with a run directory")
    from gan_cli.evaluation import evaluate as work

    work.evaluate_sources(**options)
    return 0


def compare(words: list[str]) -> int:
    folders = [word for word in words if "=" not in word or os.path.exists(word)]
    if not folders:
        raise GanError("gan compare needs run directories, or a folder of runs such as a sweep")
    missing = [folder for folder in folders if not os.path.isdir(folder)]
    if missing:
        raise GanError(f"{missing[0]}: no such folder")
    options = parse("compare", [word for word in words if word not in folders])
    from gan_cli.evaluation import compare as work

    work.compare([Path(folder) for folder in folders], **options)
    return 0


def reproduce(words: list[str]) -> int:
    if not words or "=" in words[0]:
        raise GanError("gan reproduce needs the name of an experiment; `gan list experiment` shows them")
    own = [word for word in words[1:] if word.partition("=")[0] in VERBS["reproduce"].options]
    options = parse("reproduce", own)
    if not all(re.fullmatch(r"\d+", seed) for seed in options.get("seeds", [])):
        raise GanError(f"seeds={','.join(options['seeds'])}: whole numbers, separated by commas")
    if "seeds" in options:
        options["seeds"] = [int(seed) for seed in options["seeds"]]
    from gan_cli.experiments import reproduce as work

    work.reproduce(words[0], changes=[word for word in words[1:] if word not in own], **options)
    return 0


def search(words: list[str]) -> int:
    names = VERBS["search"].options
    own = [word for word in words if word.partition("=")[0] in names or word.startswith(VERBS["search"].open)]
    options = parse("search", own)
    space = [word.removeprefix("space.") for word in options.pop("settings", [])]
    for key in ("trials", "slots"):
        if options.get(key) is not None and options[key] < 1:
            raise GanError(f"{key} must be at least 1, not {options[key]}")
    from gan_cli.experiments import search as work

    work.search([word for word in words if word not in own], space, **options)
    return 0


def bench(words: list[str]) -> int:
    if not words or "=" in words[0]:
        raise GanError(f"gan bench needs what to measure first: gan bench {VERBS['bench'].usage}")
    own = [word for word in words[1:] if word.partition("=")[0] in VERBS["bench"].options]
    from gan_cli.tools import bench as work

    work.bench(words[0], [word for word in words[1:] if word not in own], **parse("bench", own))
    return 0


def demo(words: list[str]) -> int:
    from gan_cli.tools import demos

    if not words:
        print("\n".join(demos.lines()))
        return 0
    if "=" in words[0]:
        raise GanError(f"the name of the demo comes first: gan demo NAME {words[0]}")
    demos.show(words[0], **parse("demo", words[1:]))
    return 0


def import_(words: list[str]) -> int:
    files = [word for word in words if "=" not in word or os.path.exists(word)]
    if len(files) > 1:
        raise GanError(f"gan import takes one file before the options, not {len(files)}: G=FILE.pth F=FILE.pth are two")
    options = parse("import", [word for word in words if word not in files])
    from gan_cli.inference import import_weights

    import_weights.import_(*files, **options)
    return 0


def list_(words: list[str]) -> int:
    from gan_cli.config.groups import lines

    if len(words) > 1:
        raise GanError(f"gan list takes one group, not {len(words)}")
    print("\n".join(lines(words[0].rstrip("/") if words else None)))
    return 0


def completion(words: list[str]) -> int:
    from gan_cli.cli.completion import SCRIPTS

    if len(words) != 1 or words[0] not in SCRIPTS:
        raise GanError(f"gan completion needs one of {', '.join(SCRIPTS)}")
    print(SCRIPTS[words[0]])
    return 0


def complete(words: list[str]) -> int:
    """Hidden: what the completion scripts call with the line typed so far. Complains with GAN_DEBUG only: a message
    in the middle of a line that somebody types would be worse than no completion."""
    from gan_cli.cli.completion import candidates

    try:
        print("\n".join(candidates(words[0] if words else "")))
    except Exception:
        if os.environ.get("GAN_DEBUG", "") not in ("", "0"):
            raise
        return 1
    return 0


RUN: dict[str, Callable[[list[str]], int]] = {
    "train": train, "resume": resume, "sample": sample, "translate": translate, "export": export, "edit": edit,
    "evaluate": evaluate, "compare": compare, "reproduce": reproduce, "search": search, "bench": bench, "demo": demo,
    "import": import_, "list": list_, "completion": completion,
}  # fmt: skip
"""What to call for each verb: words -> exit status."""
