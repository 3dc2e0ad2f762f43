"""A run directory: what a run leaves behind, and how nobody overwrites it."""

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

from gan_cli.config import migrations, schema
from gan_cli.training import run_history
from gan_cli.training.find_runs import existing_run
from gan_cli.training.locks import hold
from gan_cli.utils.errors import Busy, GanError
from gan_cli.utils.files import write_text

PACKAGES = ("gan-cli", "torch", "torchvision", "hydra-core", "omegaconf", "tensorboard", "numpy", "pillow")


class RunDir:
    """config.yaml, provenance.json, metrics.jsonl, tensorboard events, samples/, checkpoints/ under `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config, self.provenance = path / "config.yaml", path / "provenance.json"
        self.metrics = path / "metrics.jsonl"
        self.samples, self.checkpoints = path / "samples", path / "checkpoints"
        self.last, self.best = self.checkpoints / "last.pt", self.checkpoints / "best.pt"
        self._lock: IO[str] | None = None

    def create(self, cfg: DictConfig, facts: dict[str, Any]) -> None:
        """Claim the directory for a new run and write its config and provenance. GanError if it holds one."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.lock()
            if self.provenance.exists():
                raise GanError(
                    f"{self.path} already holds a run: `gan resume {self.path}` goes on with it; "
                    "a new run needs another hydra.run.dir"
                )
            self.samples.mkdir(exist_ok=True)
            self.checkpoints.mkdir(exist_ok=True)
            self.save_config(cfg)
            facts = {migrations.KEY: migrations.VERSION, **provenance(), **facts}
            write_text(self.provenance, json.dumps(facts, indent=2) + "\n")
        except OSError as error:
            raise GanError(
                f"cannot write run directory {self.path}: {error.strerror}; "
                "name a writable one with hydra.run.dir=..."
            ) from error

    def save_config(self, cfg: DictConfig) -> None:
        write_text(self.config, OmegaConf.to_yaml(cfg, resolve=True))

    def open(self) -> DictConfig:
        """The config of the run that this directory holds. GanError if it holds none."""
        existing_run(str(self.path))
        cfg = run_history.config(self.path)
        OmegaConf.set_struct(cfg, True)
        schema.complete(cfg)
        return cfg

    def lock(self) -> None:
        """Hold the run for this process, until it ends or is killed. GanError if another process trains it."""
        try:
            self._lock = hold(self.path)
        except BlockingIOError:
            raise Busy(f"another process is training {self.path} right now; wait for it or stop it") from None

    def facts(self) -> dict[str, Any]:
        """What provenance.json says."""
        try:
            facts: dict[str, Any] = json.loads(self.provenance.read_text())
        except (OSError, ValueError) as error:
            raise GanError(f"{self.provenance} cannot be read: {error}") from error
        return facts

    def record_resume(self, cfg: DictConfig, entry: dict[str, Any]) -> None:
        """Save the config that the run goes on with, and append `entry` to the resumes of the provenance.

        From here on the run is one of this version's schema. The config is written first: it may be brought up to
        date twice, but must not be taken for one of today's when it is not.
        """
        self.save_config(cfg)
        facts = self.facts()
        facts["overrides"] = migrations.overrides(facts.get("overrides", []), migrations.version_of(facts, self.path))
        facts[migrations.KEY] = migrations.VERSION
        facts.setdefault("resumes", []).append({"time": now(), **entry})
        write_text(self.provenance, json.dumps(facts, indent=2) + "\n")

    def rewind_metrics(self, iteration: int) -> None:
        """Drop the lines that a killed run wrote after its last checkpoint, and a half-written one."""
        if not self.metrics.exists():
            return
        kept = []
        for line in self.metrics.read_text().splitlines():
            try:
                if json.loads(line)["iteration"] <= iteration:
                    kept.append(line + "\n")
            except ValueError:
                continue
        write_text(self.metrics, "".join(kept))


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def provenance() -> dict[str, Any]:
    """What software and machine this process is."""
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
    """The revision of the checkout that this code runs from, '+' when it has changes; None for an installed wheel."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + (
            "+" if git("status", "--porcelain", "--untracked-files=no") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return None
