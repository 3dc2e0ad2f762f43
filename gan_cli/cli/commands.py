"""What each verb does with its words: check its options, then import and call the function that does the work."""

from __future__ import annotations

import functools
import importlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gan_cli import __version__
from gan_cli.cli.parser import parse
from gan_cli.cli.verbs import VERBS
from gan_cli.utils.errors import GanError

UNSUPPORTED = {
    "--shell-completion": "`gan completion bash`, zsh or fish prints a script that completes gan commands",
    "--experimental-rerun": "`gan resume RUN_DIR` continues a run; its provenance.json holds the command to repeat",
}
"""Options of Hydra that `gan train` does not offer, with what to use instead."""


def _call(verb: str, *arguments: Any, **options: Any) -> int:
    """Call the function that does the verb's work, which is imported only now: it imports torch."""
    module, _, name = VERBS[verb].call.rpartition(".")
    getattr(importlib.import_module(f"gan_cli.{module}"), name)(*arguments, **options)
    return 0


def train(words: list[str]) -> int:
    options = [word.partition("=")[0] for word in words if word.startswith("--")]
    for option in options:
        for name, instead in UNSUPPORTED.items():
            if len(option) > 4 and name.startswith(option):  # Hydra accepts the beginning of an option
                raise GanError(f"gan train has no {name}: {instead}")
    if "--version" in options:
        print(f"gan {__version__}")
        return 0
    if "--resolve" in options and not any(word.startswith(("--c", "-c")) for word in words):
        raise GanError("--resolve works only with --cfg: gan train --cfg job --resolve")
    if "--hydra-help" in options:
        words = ["--hydra-help"]  # which ignores overrides
    from gan_cli.config.composer import Composer, arguments, is_sweep
    from gan_cli.config.folder_dataset import with_dataset

    args = arguments(words)
    args.overrides = with_dataset(args.overrides, Composer(args), quiet=bool(args.cfg))
    if is_sweep(args):
        from gan_cli.experiments import sweep

        return sweep.run(args)
    from gan_cli.training import launch

    launch.train(args)
    return 0


def _run_dir(verb: str, words: list[str]) -> Path:
    """The run directory with which the words begin."""
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
    """The options of a verb that loads a run."""
    options = parse(verb, words)
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


def use_run(verb: str, words: list[str]) -> int:
    """`gan VERB RUN_DIR key=value ...`, for a verb that loads one trained run."""
    folder = _run_dir(verb, words)
    return _call(verb, folder, **_options(verb, words[1:]))


def evaluate(words: list[str]) -> int:
    if not words or words[0].startswith(("real=", "fake=", "stats=")):
        return _evaluate_sources(words)
    folder, options = _run_dir("evaluate", words), _options("evaluate", words[1:])
    for key in ("fake", "stats", "image_size", "window", "out"):
        if key in options:
            raise GanError(f"{key}={options[key]}: allowed only without a run directory")
    return _call("evaluate", folder, **options)


def _evaluate_sources(words: list[str]) -> int:
    """`gan evaluate real=... fake=...`."""
    options = _options("evaluate", words)
    for key in ("real",) if "stats" in options else ("real", "fake"):
        if key not in options:
            raise GanError(f"gan evaluate needs a run directory, or real=SOURCE and fake=SOURCE ({key}= is missing)")
    for key in ("checkpoint", "weights", "direction"):
        if key in options:
            raise GanError(f"{key}={options[key]}: allowed only with a run directory")
    from gan_cli.evaluation.evaluate import evaluate_sources

    evaluate_sources(**options)
    return 0


def compare(words: list[str]) -> int:
    folders = [word for word in words if "=" not in word or os.path.exists(word)]
    if not folders:
        raise GanError("gan compare needs run directories, or a folder of runs such as a sweep")
    missing = [folder for folder in folders if not os.path.isdir(folder)]
    if missing:
        raise GanError(f"{missing[0]}: no such folder")
    options = _options("compare", [word for word in words if word not in folders])
    return _call("compare", [Path(folder) for folder in folders], **options)


def report(words: list[str]) -> int:
    if not words or (re.match(r"out=", words[0]) and not os.path.exists(words[0])):
        raise GanError("gan report needs a run directory, or a folder of runs such as a sweep")
    return _call("report", Path(words[0]), **parse("report", words[1:]))


def _divided(verb: str, words: list[str]) -> tuple[dict[str, Any], list[str]]:
    """The verb's own options, parsed, and the other words, which are overrides of `gan train`."""
    names, begin = VERBS[verb].options, VERBS[verb].open
    own = [word for word in words if word.partition("=")[0] in names or (begin and word.startswith(begin))]
    return parse(verb, own), [word for word in words if word not in own]


def reproduce(words: list[str]) -> int:
    if not words or "=" in words[0]:
        raise GanError("gan reproduce needs the name of an experiment; `gan list experiment` shows them")
    options, changes = _divided("reproduce", words[1:])
    return _call("reproduce", words[0], changes=changes, **options)


def search(words: list[str]) -> int:
    options, overrides = _divided("search", words)
    space = [word.removeprefix("space.") for word in options.pop("settings", [])]
    for key in ("trials", "workers"):
        if options.get(key) is not None and options[key] < 1:
            raise GanError(f"{key} must be at least 1, not {options[key]}")
    return _call("search", overrides, space, **options)


def bench(words: list[str]) -> int:
    if not words or "=" in words[0]:
        raise GanError(f"gan bench needs what to measure first: gan bench {VERBS['bench'].usage}")
    options, overrides = _divided("bench", words[1:])
    return _call("bench", words[0], overrides, **options)


def doctor(words: list[str]) -> int:
    begins_with_run = bool(words) and not words[0].startswith("-") and ("=" not in words[0] or os.path.exists(words[0]))
    folder = _run_dir("doctor", words) if begins_with_run else None
    return _call("doctor", words[1:] if folder else words, folder)


def demo(words: list[str]) -> int:
    if not words:
        from gan_cli.tools import demos

        print("\n".join(demos.lines()))
        return 0
    if "=" in words[0]:
        raise GanError(f"the name of the demo comes first: gan demo NAME {words[0]}")
    return _call("demo", words[0], **parse("demo", words[1:]))


def import_(words: list[str]) -> int:
    files = [word for word in words if "=" not in word or os.path.exists(word)]
    if len(files) > 1:
        raise GanError(f"gan import takes one file before the options, not {len(files)}: name two by G=FILE F=FILE")
    return _call("import", *files, **parse("import", [word for word in words if word not in files]))


def data(words: list[str]) -> int:
    if not words or words[0] not in ("check", "prepare"):
        raise GanError(f"gan data needs what to do first: gan data {VERBS['data'].usage}")
    name, *rest = words
    if not rest or (re.match(r"\w+=", rest[0]) and not os.path.exists(rest[0])):
        raise GanError(f"gan data {name} needs the folder of images: gan data {name} DIR")
    options = parse("data", rest[1:])
    for key in ("format", "window", "pairs"):
        if name == "check" and key in options:
            raise GanError(f"{key}=: allowed only for gan data prepare")
    module = importlib.import_module(f"gan_cli.tools.data.{name}")
    getattr(module, name)(rest[0], **options)
    return 0


def push(words: list[str]) -> int:
    folder = _run_dir("push", words)
    if len(words) < 2 or "=" in words[1]:
        raise GanError(f"gan push needs the repository after the run: gan push {words[0]} USER/NAME")
    return _call("push", folder, words[1], **parse("push", words[2:]))


def pull(words: list[str]) -> int:
    if not words or "=" in words[0] or words[0].startswith("-"):
        raise GanError("gan pull needs the repository first: gan pull USER/NAME")
    return _call("pull", words[0], **parse("pull", words[1:]))


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
    """Hidden verb, called by the completion scripts with the line typed so far.

    Errors are silent without GAN_DEBUG: a message in the middle of a line would be worse than no completion.
    """
    from gan_cli.cli.completion import candidates

    try:
        print("\n".join(candidates(words[0] if words else "")))
    except Exception:
        if os.environ.get("GAN_DEBUG", "") not in ("", "0"):
            raise
        return 1
    return 0


RUN: dict[str, Callable[[list[str]], int]] = {
    **{verb: functools.partial(use_run, verb) for verb in ("sample", "translate", "export", "web")},
    "train": train, "resume": resume, "evaluate": evaluate, "compare": compare, "report": report,
    "reproduce": reproduce, "search": search, "bench": bench, "demo": demo, "doctor": doctor, "import": import_,
    "data": data, "push": push, "pull": pull, "list": list_, "completion": completion,
}  # fmt: skip
"""Verb -> its function: words -> exit status."""
