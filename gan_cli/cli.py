"""The command line: `gan VERB [RUN_DIR] key=value ...`; torch and Hydra are imported when work starts."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Sequence

from gan_cli import __version__
from gan_cli.errors import GanError, one_line, suggest
from gan_cli.verbs import VERBS, general_help, parse, verb_help

OPTIONS = ("--help", "--version")
RUN_VERBS = ("resume", "sample", "translate", "export", "edit", "evaluate")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns 0, or 1 for a defect, 2 a mistake, 3 divergence, 130 and 143 signals."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = os.environ.get("GAN_DEBUG", "") not in ("", "0")
    try:
        return _dispatch(words)
    except GanError as error:
        if debug:
            traceback.print_exc()
        _complain(one_line(error))
        return error.status
    except KeyboardInterrupt:
        _complain("interrupted")
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:  # a full disk, a folder that cannot be written
        if debug:
            traceback.print_exc()
        where = f"{error.filename}: " if error.filename else ""
        _complain(f"{where}{error.strerror or one_line(error)}; free space or name another place")
        return 2
    except Exception as error:
        if debug:
            traceback.print_exc()
        _complain(f"unexpected {type(error).__name__}: {one_line(error)[:500]}; GAN_DEBUG=1 shows where")
        return 1


def _complain(text: str) -> None:
    rank = os.environ.get("RANK", "0")
    print(f"gan: {'' if rank == '0' else f'[process {rank}] '}{text}", file=sys.stderr, flush=True)


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(verb_help(_verb(words[1])) if len(words) > 1 and words[0] == "help" else general_help())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"gan {__version__}")
        return 0
    if words[0] == "_complete":
        return _complete(words[1:])
    verb, rest = _verb(words[0]), words[1:]
    if any(word in ("-h", "--help") for word in rest):
        print(verb_help(verb))
        return 0
    if verb == "train":
        from gan_cli.hydra_app import train

        return train(rest)
    if verb == "evaluate" and (not rest or rest[0].startswith(("real=", "fake="))):
        return _sources(rest)
    if verb in RUN_VERBS:
        return _on_run(verb, rest)
    if verb == "compare":
        return _compare(rest)
    if verb == "reproduce":
        return _reproduce(rest)
    if verb == "search":
        return _search(rest)
    if verb == "bench":
        return _bench(rest)
    if verb == "demo":
        return _demo(rest)
    if verb == "import":
        return _import(rest)
    return _list(rest) if verb == "list" else _completion(rest)


def _verb(word: str) -> str:
    if word in VERBS:
        return word
    if word.startswith("-"):
        raise GanError(f"no option '{word}'{suggest(word, OPTIONS)}")
    if "=" in word:
        raise GanError(f"the verb comes first: gan train {word}")
    raise GanError(f"no verb '{word}'{suggest(word, VERBS)}")


def _on_run(verb: str, words: list[str]) -> int:
    """The verbs that work on an existing run directory."""
    from gan_cli.runs import existing_run

    stray = [word for word in words if word.startswith("-")]
    if stray:
        raise GanError(f"gan {verb} has no option '{stray[0]}'; its options are written key=value")
    if not words or (re.match(r"[\w.]+=", words[0]) and not os.path.exists(words[0])):
        raise GanError(f"gan {verb} needs the run directory first: gan {verb} {VERBS[verb].usage}")
    if verb == "resume" and os.path.exists(os.path.join(words[0], "sweep.json")):
        from pathlib import Path

        from gan_cli import sweep

        return sweep.resume(Path(words[0]), words[1:])
    run_dir, rest = existing_run(words[0]), words[1:]
    if verb == "resume":
        from gan_cli.config import command_line_modules

        allowed = command_line_modules(rest)
        from gan_cli import runner

        runner.resume(run_dir, rest, allowed)
        return 0
    options = parse(verb, rest)
    options["allowed_modules"] = options.pop("modules", [])
    if verb == "evaluate":
        from gan_cli.evaluate import evaluate

        for key in ("real", "fake", "image_size", "out"):
            if key in options:
                raise GanError(f"{key}={options[key]}: of use only without a run directory")
        evaluate(run_dir, **options)
        return 0
    if verb == "translate":
        from gan_cli.translation import translate

        translate(run_dir, **options)
    elif verb == "export":
        from gan_cli.export import export

        export(run_dir, **options)
    elif verb == "edit":
        from gan_cli.edit import edit

        edit(run_dir, **options)
    else:
        from gan_cli.sampling import sample

        sample(run_dir, **options)
    return 0


def _sources(words: list[str]) -> int:
    """`gan evaluate real=... fake=...`."""
    options = parse("evaluate", words)
    options["allowed_modules"] = options.pop("modules", [])
    for key in ("real", "fake"):
        if key not in options:
            raise GanError(f"gan evaluate needs a run directory, or real=SOURCE and fake=SOURCE ({key}= is missing)")
    for key in ("checkpoint", "weights", "direction"):
        if key in options:
            raise GanError(f"{key}={options[key]}: of use only with a run directory")
    from gan_cli.evaluate import evaluate_sources

    evaluate_sources(**options)
    return 0


def _compare(words: list[str]) -> int:
    folders = [word for word in words if "=" not in word or os.path.exists(word)]
    if not folders:
        raise GanError("gan compare needs run directories, or a folder of runs such as a sweep")
    missing = [folder for folder in folders if not os.path.isdir(folder)]
    if missing:
        raise GanError(f"{missing[0]}: no such folder")
    options = parse("compare", [word for word in words if word not in folders])
    from pathlib import Path

    from gan_cli.compare import compare

    compare([Path(folder) for folder in folders], **options)
    return 0


def _reproduce(words: list[str]) -> int:
    if not words or "=" in words[0]:
        raise GanError("gan reproduce needs the name of an experiment; `gan list experiment` shows them")
    own = [word for word in words[1:] if word.partition("=")[0] in VERBS["reproduce"].options]
    options = parse("reproduce", own)
    if not all(re.fullmatch(r"\d+", seed) for seed in options.get("seeds", [])):
        raise GanError(f"seeds={','.join(options['seeds'])}: whole numbers, separated by commas")
    if "seeds" in options:
        options["seeds"] = [int(seed) for seed in options["seeds"]]
    from gan_cli.reproduce import reproduce

    reproduce(words[0], changes=[word for word in words[1:] if word not in own], **options)
    return 0


def _search(words: list[str]) -> int:
    names = VERBS["search"].options
    own = [word for word in words if word.partition("=")[0] in names or word.startswith(VERBS["search"].open)]
    options = parse("search", own)
    space = [word.removeprefix("space.") for word in options.pop("settings", [])]
    for key in ("trials", "slots"):
        if key in options and (options[key] is None or options[key] < 1):
            raise GanError(f"{key} must be at least 1, not {options[key]}")
    from gan_cli.search import search

    search([word for word in words if word not in own], space, **options)
    return 0


def _bench(words: list[str]) -> int:
    if not words or "=" in words[0]:
        raise GanError(f"gan bench needs what to measure first: gan bench {VERBS['bench'].usage}")
    own = [word for word in words[1:] if word.partition("=")[0] in VERBS["bench"].options]
    from gan_cli.bench import bench

    bench(words[0], [word for word in words[1:] if word not in own], **parse("bench", own))
    return 0


def _demo(words: list[str]) -> int:
    from gan_cli import demos

    if not words:
        print("\n".join(demos.lines()))
        return 0
    if "=" in words[0]:
        raise GanError(f"the name of the demo comes first: gan demo NAME {words[0]}")
    demos.show(words[0], **parse("demo", words[1:]))
    return 0


def _import(words: list[str]) -> int:
    files = [word for word in words if "=" not in word or os.path.exists(word)]
    if len(files) > 1:
        raise GanError(f"gan import takes one file before the options, not {len(files)}: G=FILE.pth F=FILE.pth are two")
    options = parse("import", [word for word in words if word not in files])
    from gan_cli.importing import import_

    import_(*files, **options)
    return 0


def _list(words: list[str]) -> int:
    from gan_cli.listing import lines

    if len(words) > 1:
        raise GanError(f"gan list takes one group, not {len(words)}")
    print("\n".join(lines(words[0].rstrip("/") if words else None)))
    return 0


def _completion(words: list[str]) -> int:
    from gan_cli.completion import SCRIPTS

    if len(words) != 1 or words[0] not in SCRIPTS:
        raise GanError(f"gan completion needs one of {', '.join(SCRIPTS)}")
    print(SCRIPTS[words[0]])
    return 0


def _complete(words: list[str]) -> int:
    """Hidden: what the completion scripts call with the line typed so far. Complains with GAN_DEBUG only: a message
    in the middle of a line that somebody types would be worse than no completion."""
    from gan_cli.completion import candidates

    try:
        print("\n".join(candidates(words[0] if words else "")))
    except Exception:
        if os.environ.get("GAN_DEBUG", "") not in ("", "0"):
            raise
        return 1
    return 0
