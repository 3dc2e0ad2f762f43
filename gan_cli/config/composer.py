"""Compose overrides to one configuration with Hydra, whose errors become one line with the most similar valid word.

This is the only module that uses Hydra's internals.
"""

from __future__ import annotations

import argparse
import copy
import difflib
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, cast

from hydra import version
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.bash_completion import BashCompletion
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import (
    _run_hydra,
    create_automatic_config_search_path,
    create_config_search_path,
    get_args_parser,
)
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import setup_globals
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from gan_cli.config import foreign, renamed
from gan_cli.config.groups import refuse_paths
from gan_cli.config.override_text import readable, single
from gan_cli.config.paths import conf_dir
from gan_cli.utils.errors import GanError, one_line, suggest

version.setbase("1.3")
setup_globals()  # registers the resolvers `now:` and `hydra:`
OmegaConf.register_new_resolver("unique", lambda: secrets.token_hex(3), use_cache=True, replace=True)
OmegaConf.register_new_resolver("slug", lambda text: slug(text), replace=True)
OmegaConf.register_new_resolver("times", lambda a, b: a * b, replace=True)
# Number of channels of the other side: a key that is null unless the sides differ, as the constructors have it.
OmegaConf.register_new_resolver("either", lambda a, b: b if a is None else a, replace=True)
OmegaConf.register_new_resolver("given", lambda a, b: None if a is None else b, replace=True)


SWEEPER = "hydra.sweeper."


def slug(text: Any) -> str:
    """A text as part of a folder name: `model=dcgan,optimizer.lr=1e-3` gives model_dcgan-lr_1e-3."""
    parts = [re.sub(r"^[\w.@/]*[./](?=\w+=)", "", part) for part in str(text).split(",")]
    return re.sub(r"[^\w.+-]+", "_", "-".join(parts))[:80].strip("_-") or "default"


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the words after `gan train`: Hydra's own options, and overrides. Raises GanError for a wrong option."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its exceptions, instead of printing them and exiting
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        unknown = re.match(r"unrecognized arguments: (\S+)", message)
        if unknown:
            message = f"no option '{unknown[1]}'{suggest(unknown[1], _long_options(parser))}"
        raise GanError(message)

    parser.error = refuse  # type: ignore[method-assign]
    args = parser.parse_intermixed_args(list(argv))
    # `experiment` is in the defaults list, so Hydra would refuse the plus that other projects require. The settings of
    # single networks are not in the files, so Hydra would require a plus; `check` knows the valid names.
    args.overrides = [re.sub(r"^\+(?=experiment=)", "", o) for o in args.overrides]
    args.overrides = [re.sub(r"^\+?(?=optimizer\.networks\.)", "++", o) for o in args.overrides]
    # Hydra would read a range of files in braces, `{000..146}`, as a mapping.
    args.overrides = [re.sub(r"^([^='\"]+=)([^'\"]*\{\d+\.\.\d+\}[^'\"]*)$", r'\1"\2"', o) for o in args.overrides]
    args.overrides = [readable(o) for o in args.overrides]
    # Settings of the sweep as a whole are not part of a trial's config: Hydra keeps them in hydra.sweeper.
    args.overrides = [re.sub(r"^\+?sweep\.", SWEEPER, re.sub(r"^\+?(?=sweep=)", "+", o)) for o in args.overrides]
    if args.config_dir and not Path(args.config_dir).is_dir():
        raise GanError(f"--config-dir: there is no folder '{args.config_dir}'")
    return args


def is_sweep(args: argparse.Namespace) -> bool:
    """Whether the command line asks for several runs: by -m, or by Hydra's own key."""
    return args.multirun or any(o.replace(" ", "").lower() == "hydra.mode=multirun" for o in args.overrides)


def _long_options(parser: argparse.ArgumentParser) -> list[str]:
    return [name for name in parser._option_string_actions if name.startswith("--")]


def options(args: argparse.Namespace) -> list[str]:
    """The options that locate config files, as words of a command line."""
    given = {"--config-dir": args.config_dir, "--config-path": args.config_path, "--config-name": args.config_name}
    return [f"{option}={value}" for option, value in given.items() if value]


class Composer:
    """Composes configurations with the search path of one command line, without changing Hydra's global state."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.config_path = os.path.abspath(args.config_path or conf_dir())
        self.config_name = args.config_name or "config"
        path = create_automatic_config_search_path(None, None, self.config_path)
        if args.config_dir:
            folder = f"file://{os.path.abspath(args.config_dir)}"
            path.prepend("command-line", folder, SearchPathQuery(provider="main"))
        self.loader = ConfigLoaderImpl(config_search_path=path)
        self._is_foreign = bool(args.config_dir or args.config_path or args.config_name)

    def compose(self, overrides: Sequence[str], mode: RunMode = RunMode.RUN) -> DictConfig:
        """The configuration with its `hydra` section. In MULTIRUN mode swept keys keep their defaults."""
        for override in overrides:
            key, equals, value = override.partition("=")
            if equals and value.strip() in ("", "''", '""'):
                raise GanError(f"{key.lstrip('+')} has no value; give one, or {key}=null for none")
        try:
            cfg = self.loader.load_configuration(self.config_name, list(overrides), run_mode=mode)
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            raise GanError(self.explain(error, overrides)) from error
        except (TypeError, AttributeError, AssertionError, LookupError, RecursionError) as error:
            # Hydra does not check the kind of a value: a group takes a name, or a list of names.
            strange = [word for word in overrides if re.search(r"=\s*[\[{(]", word)] or overrides
            raise GanError(
                f"cannot use '{' '.join(strange)}': a group takes the name of one of its choices, or [NAME,NAME] where "
                "several may be chosen (`gan list`)"
            ) from error
        refuse_paths([*self._typed(overrides), *_recorded(cfg)], self.loader.get_group_options)
        if self._is_foreign:
            foreign.check(cfg, overrides, (Composer(arguments([])).compose, _hydra_alone))
        return cfg

    def _typed(self, overrides: Sequence[str]) -> Iterator[tuple[str, str]]:
        """The choices of groups among overrides, also those in lists, which Hydra does not record."""
        for override in overrides:
            key, _, value = override.lstrip("+").partition("=")
            group = key.partition("@")[0]
            if "." not in group and self.loader.get_group_options(group):
                yield from ((group, name) for name in re.split(r"[\s\[\](),'\"]+", value) if name)

    @contextmanager
    def explaining(self, overrides: Sequence[str]) -> Iterator[None]:
        """Raise Hydra's exceptions as GanError."""
        try:
            yield
        except (HydraException, OmegaConfBaseException) as error:
            raise GanError(self.explain(error, overrides)) from error

    def run(self, args: argparse.Namespace, task: TaskFunction) -> None:
        """Make the output directory and call `task` in it, as `hydra.main` does after it has parsed `sys.argv`."""
        args.config_path = self.config_path
        _run_hydra(args, get_args_parser(), task, self.config_path, self.config_name)

    def launch(self, master: DictConfig, jobs: Sequence[Sequence[str]], task: TaskFunction) -> None:
        """Let the launcher that `master` names run `task` once per job, a list of overrides."""
        callbacks = Callbacks(master)
        callbacks.on_multirun_start(config=master, config_name=self.config_name)
        context = HydraContext(config_loader=self.loader, callbacks=callbacks)
        launcher = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=task, config=master)
        if jobs:
            launcher.launch(jobs, initial_job_idx=0)
        callbacks.on_multirun_end(config=master, config_name=self.config_name)

    def completions(self, word: str) -> list[str]:
        """What an override of which `word` is typed may become: groups, their files, and keys."""
        found = BashCompletion(self.loader)._query(self.config_name, word)
        return [name for name in found if word.startswith("hydra") or not name.startswith("hydra")]

    def explain(self, error: Exception, overrides: Sequence[str]) -> str:
        """Hydra's exception in one line, with the most similar valid word."""
        return self._explain(error, overrides).replace(SWEEPER, "sweep.")

    def _explain(self, error: Exception, overrides: Sequence[str]) -> str:
        if isinstance(error, OverrideParseException):
            if "=" not in error.override and not error.override.startswith("~"):
                return f"'{error.override}' is not of the form key=value"
            return f"cannot read '{error.override}': {str(error.message).splitlines()[0]}"
        if isinstance(error, MissingConfigException) and error.missing_cfg_file:
            group, _, name = error.missing_cfg_file.rpartition("/")
            new = renamed.choice(group, name)
            if new:
                return f"{group}={name} was renamed to {group}={new}"
            # The error has no options if the choice is a list such as metric=[a,b].
            names = error.options or self.loader.get_group_options(group)
            options = [option for option in names if not option.startswith("_")]  # Hydra's own
            guess = suggest(name, options) or (f"; `gan list {group}` shows the choices" if group else "")
            return f"no {group or 'config'} '{name}'{guess}"
        if isinstance(error, OmegaConfBaseException):
            return f"{error.full_key}: {one_line(error)}" if error.full_key else one_line(error)
        text = str(error) or str(error.__cause__ or "")
        unknown = re.match(r"Could not (?:override|delete|delete from config\.) '([^']+)'", text)
        if unknown:
            inner = getattr(error.__cause__, "full_key", None)
            if inner and inner.startswith(unknown[1] + "."):  # the new mapping has a key that the old one has not
                return f"no key '{inner}'; write +{unknown[1]}=... to add it"
            return self._unknown_key(unknown[1], overrides)
        ambiguous = re.match(r"Ambiguous value for argument '([^']+)'", text)
        if ambiguous:
            ways = ["add -m to run them all", *self._single(ambiguous[1], overrides)]
            return f"'{ambiguous[1]}' is a sweep: {', or '.join(ways)}"
        return " ".join(text.split("full_key")[0].split()) or one_line(error)

    def _single(self, override: str, overrides: Sequence[str]) -> list[str]:
        """How to write the values of a swept override as one value, if its key can have such."""
        key, _, text = override.partition("=")
        if self.loader.get_group_options(key.lstrip("+")):
            return [f"write {key}=[{text}] for several"] if key == "metric" else []
        cfg = self._composed([one for one in overrides if one != override])
        before = OmegaConf.select(cfg, key.lstrip("+"), throw_on_resolution_failure=False) if cfg else None
        return single(key, text, before)

    def _unknown_key(self, key: str, overrides: Sequence[str]) -> str:
        """`no key ...` with the most similar key at its level, or else the key of that name elsewhere."""
        keys = {override: override.lstrip("+~").partition("=")[0].partition("@")[0] for override in overrides}
        groups = self.loader.list_groups("")
        others = [override for override in overrides if keys[override] != key]
        choices = [override for override in others if "." not in keys[override]]  # without a second wrong key
        cfg = self._composed(others) or self._composed(choices)
        if cfg is None:
            return f"no key '{key}'{suggest(key, groups)}"
        group, name = (*key.split("."), "")[:2]
        if group == "metric" and name in self.loader.get_group_options(group) and name not in cfg.metric:
            return f"no key '{key}': add metric=[{name}], which chooses it"
        if "/" in key:
            parent = key.rpartition("/")[0]
            nested = [f"{parent}/{g}" for g in self.loader.get_group_options(parent, ObjectType.GROUP)]
            return f"no group '{key}'{suggest(key, nested or groups)}"
        return _nearest_key(cfg, key, groups)

    def _composed(self, overrides: Sequence[str]) -> DictConfig | None:
        try:
            return self.loader.load_configuration(self.config_name, list(overrides), run_mode=RunMode.MULTIRUN)
        except (HydraException, OmegaConfBaseException):
            return None


def _recorded(cfg: DictConfig) -> list[tuple[str, str]]:
    """The choice of each group, by a file's defaults list as well."""
    return [(str(group), name) for group, name in cfg.hydra.runtime.choices.items() if isinstance(name, str)]


def _hydra_alone(overrides: Sequence[str]) -> DictConfig:
    """Hydra's own configuration with overrides, without any file of this program. GanError if that fails."""
    loader = ConfigLoaderImpl(config_search_path=create_config_search_path(None))
    try:
        return loader.load_configuration(None, list(overrides), run_mode=RunMode.RUN)
    except (HydraException, OmegaConfBaseException) as error:
        raise GanError(one_line(error)) from error


def _nearest_key(cfg: DictConfig, key: str, groups: Sequence[str]) -> str:
    mappings = _paths(cfg, hidden=() if key.startswith("hydra") else ("hydra",))
    if key == "dataset.root":
        chosen = cfg.hydra.runtime.choices.dataset
        return (
            f"no key 'dataset.root': dataset={chosen} reads no folder; your own images are dataset=image_folder, "
            "dataset=unpaired_folder (two sets, for a model like cyclegan) or dataset=paired_folder (pairs, pix2pix)"
        )
    above = key.rpartition(".")[0]
    while above and above not in mappings:
        above = above.rpartition(".")[0]
    if above and not mappings[above]:
        return f"no key '{key}': {above} is a single value"
    alike = difflib.get_close_matches(key, mappings, n=1, cutoff=0.8)
    alike += [path for path in mappings if path.rpartition(".")[2] == key.rpartition(".")[2]]
    if alike:
        return f"no key '{key}'; did you mean '{alike[0]}'?"
    level = [path for path in mappings if path.rpartition(".")[0] == above]
    return f"no key '{key}'{suggest(key, level if above else {*level, *groups} - {'hydra'})}"


def _paths(node: DictConfig, prefix: str = "", hidden: Sequence[str] = ()) -> dict[str, bool]:
    """The dotted path of every key below a node -> whether there are keys below it."""
    found: dict[str, bool] = {}
    for name in map(str, node):
        if name not in hidden and not name.startswith("_"):
            child = node._get_node(name)
            inner = isinstance(child, DictConfig) and not child._is_none() and not child._is_interpolation()
            found[prefix + name] = inner
            if inner:
                found |= _paths(cast(DictConfig, child), f"{prefix}{name}.")
    return found


def swept_values(override: Override) -> list[str]:
    """The overrides, one per value, that a swept override stands for."""
    return [job[0] for job in BasicSweeper.split_arguments([override], max_batch_size=None)[0]]


def task_overrides(hydra: Any) -> list[str]:
    """The overrides as typed, without resolving `${...}` in them."""
    texts = OmegaConf.to_container(hydra.overrides.task, resolve=False)
    assert isinstance(texts, list)
    return [str(text) for text in texts]


def without_hydra(cfg: DictConfig) -> DictConfig:
    """A copy of a composed configuration without Hydra's own section."""
    HydraConfig.instance().set_config(cfg)  # resolves ${hydra:...} in the user's own files
    task = copy.deepcopy(cfg)
    with open_dict(task):
        del task["hydra"]
    return task
