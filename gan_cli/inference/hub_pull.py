"""`gan pull`: make a run directory of a published run, which is a stranger's.

Only files of known names, kinds and sizes are taken, the weights as safetensors; the configuration passes the checks of
every run's, and the weights are loaded into its networks before the run directory appears.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from gan_cli.config import schema
from gan_cli.data.decoded_cache import exclusive, remove
from gan_cli.inference import hub
from gan_cli.inference.public_facts import Public
from gan_cli.inference.trained_run import TrainedRun
from gan_cli.training import checkpoint, run_facts, run_history
from gan_cli.training.find_runs import contains_run
from gan_cli.training.run_dir import RunDir, now
from gan_cli.utils.commands import command
from gan_cli.utils.errors import GanError, one_line, writing

PIXELS = 2**28  # of a sample image
ITERATION = re.compile(r"\d{1,15}")
FOLDERS = Path("outputs/pulled")


class Found(NamedTuple):
    """A revision of a repository. files: name -> declared bytes, of those that are taken; digests: SHA-256 of those
    whose content the hub has hashed; others: how many files are not taken.
    """

    revision: str
    files: dict[str, int]
    digests: dict[str, str]
    others: int


def pull(
    repo_id: str, *, out: str | None = None, revision: str | None = None, allowed_modules: Sequence[str] = ()
) -> None:
    """Download the run in the repository `repo_id` into a new run directory `out`, outputs/pulled/NAME if omitted.

    revision: a branch, a tag or a commit; the newest if omitted. The commit is recorded in provenance.json. Raises
    GanError if `out` holds anything, or if the repository holds no run that this version can use.
    """
    hub.client()
    hub.check_name(repo_id)
    run_dir = Path(out) if out else FOLDERS / repo_id.rpartition("/")[2]
    if contains_run(run_dir) or (run_dir.is_dir() and any(run_dir.iterdir())):
        raise GanError(f"{run_dir} is not empty: name a new folder by out=")
    if run_dir.exists() and not run_dir.is_dir():
        raise GanError(f"{run_dir} is a file: name a new folder by out=")
    part = f".pull-{hashlib.sha256(os.fsencode(run_dir.name)).hexdigest()[:12]}-"  # short, and without any *
    with writing(run_dir, "out"), exclusive(run_dir.parent, f"{part}*"):
        work = run_dir.with_name(part + uuid.uuid4().hex)
        try:
            with hub.explained(repo_id, "pull"):
                found = look_up(repo_id, revision)
                download(repo_id, found, work / "download")
            made = convert(repo_id, found, work / "download", work / "run", allowed_modules)
            os.replace(work / "run", run_dir)
        finally:
            remove(work)
    translates = bool(made.system.directions)
    use = command("translate", run_dir, "input=DIR", "output=DIR") if translates else command("sample", run_dir)
    others = f"; {found.others} other files were not taken" if found.others else ""
    print(f"{run_dir}: {made.name} of iteration {made.iteration}, from {repo_id} at {found.revision[:12]}{others}")
    print(f"its license and its scores are in {run_dir / hub.CARD}; next: {use}")


def look_up(repo_id: str, revision: str | None) -> Found:
    """The files of a repository that are taken. GanError if one is missing, too large, or there are too many."""
    info = hub.api().model_info(repo_id, revision=revision, files_metadata=True)
    if not re.fullmatch(r"[0-9a-f]{40,64}", str(info.sha)):
        raise GanError(f"{repo_id}: the hub names no revision; try again later")
    siblings = info.siblings or []
    taken = {sibling.rfilename: sibling for sibling in siblings if hub.kind_of(sibling.rfilename)}
    for kind in hub.KINDS:
        names = [name for name in taken if hub.kind_of(name) is kind]
        if kind.required and not names:
            raise GanError(f"{repo_id} holds no run that `gan push` wrote: {kind.name} is missing".replace("\\", ""))
        if len(names) > kind.most:
            raise GanError(f"{repo_id} holds {len(names)} files of {kind.what}, where at most {kind.most} are taken")
        for name in names:
            size = taken[name].size
            if type(size) is not int or not 0 < size <= kind.limit:
                raise GanError(f"{repo_id}: {name} has {size} bytes, where 1 to {kind.limit:,} are taken")
    digests = {name: sibling.lfs.sha256 for name, sibling in taken.items() if sibling.lfs}
    sizes = {name: int(sibling.size or 0) for name, sibling in taken.items()}
    return Found(str(info.sha), sizes, digests, len(siblings) - len(taken))


def download(repo_id: str, found: Found, folder: Path) -> None:
    """Download the files into `folder`. GanError if one is not what the hub has declared."""
    folder.mkdir(parents=True)
    free = shutil.disk_usage(folder).free
    if 2 * sum(found.files.values()) > free:  # the weights are written once more, as a checkpoint
        raise GanError(f"{repo_id} needs {2 * sum(found.files.values()):,} bytes, and {free:,} are free here")
    api = hub.api()
    for name, size in found.files.items():
        api.hf_hub_download(repo_id, name, revision=found.revision, local_dir=folder)
        file = folder / name
        if file.is_symlink() or not file.is_file() or file.stat().st_size != size:
            raise GanError(f"{repo_id}: {name} is not of the size that the hub declares; try again")
        if name in found.digests and _digest(file) != found.digests[name]:
            raise GanError(f"{repo_id}: {name} is not what the hub declares; try again")


def convert(
    repo_id: str, found: Found, folder: Path, run_dir: Path, allowed_modules: Sequence[str] = ()
) -> TrainedRun:
    """Make a run directory of downloaded files, and load it as every verb does. GanError if one is not as it should be.

    Configuration, provenance and records are read, checked and written anew; nothing is copied but the model card and
    the sample images.
    """
    facts, cfg = run_facts.read(folder), run_history.config(folder)
    schema.check(cfg, allowed_modules)
    tensors, iteration = read_weights(folder / hub.WEIGHTS)
    # None replaces what concerns this machine and this command: they have not made the run.
    unknown = dict.fromkeys(("time", "command", "versions", "git", "machine"))
    pulled = {"repo": repo_id, "revision": found.revision, "time": now(), "sha256": _digest(folder / hub.WEIGHTS)}
    public = Public()
    with RunDir(run_dir) as run:
        run.create(cfg, {**unknown, **public.facts(facts), "pulled": pulled})
        checkpoint.save(run.last, _state(tensors, iteration))
        records = [public.record(record) for record in run_history.read(folder).records]
        hub.write_records(run.path, records, list(run_history.logged(folder)))
        for name in found.files:
            if name == hub.CARD:
                shutil.copyfile(folder / name, run.path / name)
            elif name.endswith(".png"):
                _check_image(folder / name)
                shutil.copyfile(folder / name, run.path / name)
    return TrainedRun(run_dir, device="cpu", allowed_modules=allowed_modules)


def read_weights(file: Path) -> tuple[dict[str, Tensor], int]:
    """The tensors of a published run by their names, and its iteration. GanError for any other file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as content:  # which compares all sizes with that of the file
            iteration = str((content.metadata() or {}).get("iteration"))
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
        raise GanError(f"{file.name} cannot be read: {one_line(error)[:200]}") from error
    if not ITERATION.fullmatch(iteration):
        raise GanError(f"{file.name} was not written by `gan push`: it names no iteration")
    for name in tensors:
        if not re.fullmatch(r"(system|ema\.\w+)\..+", name):
            raise GanError(f"{file.name} was not written by `gan push`: it holds {name!r:.60}")
    return tensors, int(iteration)


def _state(tensors: Mapping[str, Tensor], iteration: int) -> dict[str, Any]:
    """A checkpoint with these weights, and without optimizers."""
    averages: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        kind, _, rest = name.partition(".")
        if kind == "ema":
            network, _, weight = rest.partition(".")
            averages.setdefault(network, {})[weight] = value
    system = {name.removeprefix("system."): value for name, value in tensors.items() if name.startswith("system.")}
    process = {"random": {}, "torch": torch.get_rng_state(), "cuda": None, "system": {}}
    return {
        "iteration": iteration, "position": 0, "system": system, "ema": averages, "optimizers": {},
        "processes": [process],
    }  # fmt: skip


def _check_image(file: Path) -> None:
    """GanError unless the file is a PNG image of a moderate size."""
    try:
        with Image.open(file, formats=("PNG",)) as image:
            if image.width * image.height > PIXELS:
                raise ValueError(f"it has {image.width} x {image.height} pixels")
            image.verify()
    except Exception as error:  # Pillow raises many kinds for a broken file
        raise GanError(f"{file.name} is no sample image: {one_line(error)[:200]}") from error


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with open(file, "rb") as content:
        while block := content.read(2**20):
            digest.update(block)
    return digest.hexdigest()
