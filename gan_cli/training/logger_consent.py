"""Which services a run may contact, and as what they know it.

A run directory or a folder of configurations may come from a stranger, and may name a service. One is contacted only if
the command names it, or if it did when this user began the run: then logger.json is sealed by a key that only this user
has.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gan_cli.training.loggers import LogService
from gan_cli.training.run_dir import RunDir
from gan_cli.utils.distributed import print_once
from gan_cli.utils.files import read_json, write_text

FILE = "logger.json"
KEY = "logger.key"
IDENTITY = r"[0-9a-f]{16}"


def permitted(
    run: RunDir, cfg: DictConfig, loggers: Mapping[str, LogService], typed: Collection[str]
) -> dict[str, LogService]:
    """The loggers without those services that must not be contacted; a note names these.

    typed: the keys that the command line has set. Raises GanError if the library of one is missing.
    """
    services = [name for name, logger in loggers.items() if not logger.local]
    named = {name for name in services if any(f"logger.{name}.".startswith(f"{key}.") for key in typed)}
    named |= {name for name in services if any(key.startswith(f"logger.{name}.") for key in typed)}
    refused = [] if _is_sealed(run, cfg, services) else [name for name in services if name not in named]
    if refused:
        print_once(
            f"note: {', '.join(refused)} not contacted: only a file names {'it' if len(refused) == 1 else 'them'}; "
            f"add logger=[{','.join(loggers)}] if you want it"
        )
    chosen = {name: logger for name, logger in loggers.items() if name not in refused}
    for logger in chosen.values():
        logger.check()
    return chosen


def begin(run: RunDir, cfg: DictConfig, services: Sequence[str], sent: int) -> tuple[str, int]:
    """Record which services the run contacts. Returns its identity there, and the last iteration that they have.

    sent: the last iteration that was logged. OSError if the file cannot be written.
    """
    if not services:
        return "", sent
    known = _read(run.path)
    known = {"id": known.get("id", secrets.token_hex(8)), "sent": max(sent, known.get("sent", -1))}
    key = _key(make=True)
    seal = {"seal": _seal(key, known, cfg, services)} if key else {}
    write_text(run.path / FILE, json.dumps(known | seal) + "\n")
    return known["id"], known["sent"]


def _is_sealed(run: RunDir, cfg: DictConfig, services: Sequence[str]) -> bool:
    known, key = _read(run.path), _key()
    seal = known.get("seal")
    if not key or not isinstance(seal, str):
        return False
    return hmac.compare_digest(seal.encode(), _seal(key, known, cfg, services).encode())


def _read(folder: Path) -> dict[str, Any]:
    """What logger.json holds; empty for a file that is missing or of another form."""
    try:
        known = read_json(folder / FILE, 2**12)
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict) or not re.fullmatch(IDENTITY, str(known.get("id"))):
        return {}
    return known if type(known.get("sent")) is int else {}


def _seal(key: bytes, known: dict[str, Any], cfg: DictConfig, services: Sequence[str]) -> str:
    """A code that only the owner of `key` can compute, for this run and these settings of its services."""
    nodes = OmegaConf.to_container(cfg.logger, resolve=True)
    assert isinstance(nodes, dict)
    text = json.dumps([known["id"], {name: nodes[name] for name in services}], sort_keys=True)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _key(make: bool = False) -> bytes:
    """This user's key, which is made at first use; empty if there is none, as where no file can be written."""
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "gan"
    try:
        if make and not (folder / KEY).exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(folder / KEY, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                file.write(secrets.token_hex(32))
        return (folder / KEY).read_bytes()
    except (OSError, RuntimeError):  # RuntimeError: no home
        return b""
