"""A run directory: the files of a run, and the lock that keeps other processes from changing them."""

import json
import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

from omegaconf import DictConfig, OmegaConf

from gan_cli.config import migrations
from gan_cli.training import run_facts, run_history
from gan_cli.training.find_runs import existing_run, refuse_links, refuse_second_run
from gan_cli.training.locks import LOCK
from gan_cli.utils.errors import Busy, GanError, writing
from gan_cli.utils.files import remove_leftovers, replacing, write_text
from gan_cli.utils.locks import hold

PACKAGES = ("gan-cli", "torch", "torchvision", "hydra-core", "omegaconf", "tensorboard", "numpy", "pillow")


class RunDir:
    """The files of a run under `path`: config.yaml, provenance.json, metrics.jsonl, TensorBoard events, samples/ and
    checkpoints/.

    Used in a `with` statement by a process that reserves it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config, self.provenance = path / "config.yaml", path / "provenance.json"
        self.metrics = path / "metrics.jsonl"
        self.samples, self.checkpoints = path / "samples", path / "checkpoints"
        self.last, self.best = self.checkpoints / "last.pt", self.checkpoints / "best.pt"
        self._lock: IO[str] | None = None

    def create(self, cfg: DictConfig, facts: dict[str, Any]) -> None:
        """Make the directory of a new run, lock it, and write its config and provenance.

        facts: added to the provenance. Raises GanError if it holds a run or cannot be written.
        """
        with writing(self.path, "hydra.run.dir"):
            self.path.mkdir(parents=True, exist_ok=True)
            self.lock()
            refuse_second_run(self.path)
            # The folder holds a run as soon as the provenance is there, which is whole or absent, and not before: a
            # process that is killed at any moment leaves a run that can be resumed, or a folder for a new one.
            self.save_config(cfg)
            facts = {migrations.KEY: migrations.VERSION, **provenance(), **facts}
            write_text(self.provenance, json.dumps(facts, indent=2) + "\n", sync=True)
            self.make_folders()

    def make_folders(self) -> None:
        """Make samples/ and checkpoints/, which a process that was killed at once has not made. May raise OSError."""
        self.samples.mkdir(exist_ok=True)
        self.checkpoints.mkdir(exist_ok=True)

    def save_config(self, cfg: DictConfig) -> None:
        """Write config.yaml. OSError if it cannot be written."""
        write_text(self.config, OmegaConf.to_yaml(cfg, resolve=True), sync=True)

    def open(self) -> DictConfig:
        """The config of the run in this directory, in today's form. GanError if there is none."""
        existing_run(str(self.path))
        cfg = run_history.config(self.path)
        OmegaConf.set_struct(cfg, True)
        return cfg

    def lock(self) -> None:
        """Reserve the run for this process until it ends or is killed. Raises Busy if another process trains it, and
        GanError if links in it lead elsewhere.

        Deletes temporary files that a killed process left in the directory.
        """
        refuse_links(self.path)
        try:
            self._lock = hold(self.path / LOCK)
        except BlockingIOError:
            raise Busy(f"another process is training {self.path} right now; wait for it or stop it") from None
        for folder in (self.path, self.checkpoints, self.samples):  # before anything is written: they can be large
            remove_leftovers(folder)

    def __enter__(self) -> "RunDir":
        return self

    def __exit__(self, *error: object) -> None:
        """Release the lock; an exception may keep this object alive."""
        if self._lock:
            self._lock.close()
            self._lock = None

    def facts(self) -> dict[str, Any]:
        """The content of provenance.json, in today's form. GanError if it cannot be read."""
        if not self.provenance.exists():
            raise GanError(f"{self.provenance} is missing: only a run that has it can be resumed")
        return run_facts.read(self.path)

    def record_resume(self, cfg: DictConfig, entry: dict[str, Any], paths: dict[str, Any]) -> None:
        """Save the config that the run continues with, append `entry` to the resumes in the provenance, and put `paths`
        into it.

        From here on the run is one of this version's schema.
        """
        # The config comes first: if the process is killed in between, migrating it a second time changes nothing,
        # whereas an old config under a new version would never be migrated.
        self.save_config(cfg)
        facts = {**self.facts(), "paths": paths}
        facts.setdefault("resumes", []).append({"time": now(), **entry})
        write_text(self.provenance, json.dumps(facts, indent=2) + "\n", sync=True)

    def rewind_metrics(self, iteration: int) -> None:
        """Drop the lines of metrics.jsonl that a killed run wrote after its last checkpoint, and a half-written one."""
        if not self.metrics.exists():
            return
        with replacing(self.metrics) as temporary, open(temporary, "w") as file:
            for line in run_history.logged(self.path):
                if line["iteration"] <= iteration:
                    file.write(json.dumps(line) + "\n")


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def provenance() -> dict[str, Any]:
    """Facts about this process: time, command, versions of software, machine."""
    return {
        "time": now(),
        "command": ["gan", *sys.argv[1:]],
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "git": _git_revision(),
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_revision() -> str | None:
    """The git revision that this code runs from, with '+' if files have changed; None for an installed package."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None

    def git(*words: str) -> str:
        command = ["git", "-C", str(root), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None
