"""`gan push`: publish a run on the hub, without what concerns only its owner."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor

from gan_cli.inference import hub, model_card
from gan_cli.inference.outputs import output_folder
from gan_cli.inference.public_facts import Public
from gan_cli.inference.trained_run import TrainedRun, read_checkpoint
from gan_cli.systems.base import Generates
from gan_cli.training import run_facts, run_history
from gan_cli.training.run_dir import RunDir
from gan_cli.utils.errors import GanError, one_line, writing
from gan_cli.utils.files import open_regular, write_text

GRIDS = 4  # sample images
LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]*")
CHECKPOINTS = ("last", "best")


def push(
    run_dir: Path,
    repo_id: str,
    *,
    checkpoint: str = "last",
    weights: str = "auto",
    private: bool = True,
    license: str = "unknown",
    samples: bool = True,
    dry_run: bool = False,
    out: str | None = None,
    allowed_modules: Sequence[str] = (),
) -> None:
    """Upload a run to the repository `repo_id`, USER/NAME, which is made if needed, or write the files to `out` only.

    weights: "auto", those of the last step and their averages; "ema", the averages alone; "raw", without averages.
    samples: with at most GRIDS sample images. out: RUN_DIR/hub for a dry run if omitted, otherwise a temporary folder.
    GanError if the repository holds other things than a published run.
    """
    hub.client()
    hub.check_name(repo_id, owned=True)
    if not LICENSE.fullmatch(license):
        raise GanError(f"license={license}: write it as the hub does, such as mit, apache-2.0, cc-by-4.0 or unknown")
    if not dry_run and not hub.client().get_token():
        raise GanError(f"{repo_id}: {hub.NO_TOKEN}")
    run = TrainedRun(
        run_dir, checkpoint=checkpoint, weights=weights, device="cpu", allowed_modules=allowed_modules
    )
    with _folder(run_dir, out, dry_run) as folder:
        names, replaced = write(run, folder, repo_id, checkpoint, weights, license, samples)
        _show(folder, names, replaced)
        if dry_run:
            print(f"nothing is uploaded: {folder} holds what `gan push` without dry_run=true would upload")
            return
        with hub.explained(repo_id, "push"):
            print(upload(folder, names, repo_id, private, run.iteration))


def upload(folder: Path, names: Sequence[str], repo_id: str, private: bool, iteration: int) -> str:
    """Upload the files of a folder in one commit, and return its address."""
    api = hub.api()
    repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
    there = set(api.list_repo_files(repo_id)) - {".gitattributes", hub.CARD, "LICENSE"}
    if there and not {"config.yaml", "provenance.json"} <= there:
        raise GanError(f"{repo_id} holds other files, such as {min(there)!r}: name a new repository")
    done = api.upload_folder(
        repo_id=repo_id, folder_path=folder, allow_patterns=list(names),
        commit_message=f"Weights of iteration {iteration}, by gan push",
    )  # fmt: skip
    return f"{done.commit_url} is uploaded; `gan pull {repo_id}` makes a run of it"


def write(
    run: TrainedRun, folder: Path, repo_id: str, checkpoint: str, weights: str, license: str, samples: bool
) -> tuple[list[str], list[str]]:
    """Write all files that are published into `folder`. Returns their names, and the settings whose paths
    were replaced.
    """
    public = Public()
    config = public.config(run.config)
    facts = public.facts(run_facts.read(run.path))
    history = run_history.read(run.path)
    state = read_checkpoint(RunDir(run.path), checkpoint)
    records = [public.record(record) for record in _records(history.records)]
    with writing(folder, "out"):
        save(_tensors(run, state, weights), folder / hub.WEIGHTS, {"iteration": str(run.iteration), "weights": weights})
        write_text(folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(config)))
        write_text(folder / "provenance.json", json.dumps(facts, indent=2) + "\n")
        hub.write_records(folder, records, [line for line in run_history.logged(run.path)
                                            if line["iteration"] <= run.iteration])  # fmt: skip
        grids = _copy_grids(run, folder) if samples else []
        card = model_card.Published(
            repo_id, license, run.name, _task(run), run.iteration, weights, history.choices, run_history.flat(config),
            facts, _of_checkpoint(run, records), grids,
        )  # fmt: skip
        write_text(folder / hub.CARD, model_card.text(card))
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    return [name for name in names if hub.kind_of(name)], list(public.replaced)


def save(tensors: Mapping[str, Tensor], path: Path, facts: Mapping[str, str]) -> None:
    """Write tensors as safetensors. GanError if that fails."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(dict(tensors), path, {"format": "pt", **facts})
    except SafetensorError as error:
        raise GanError(f"cannot write {path}: {one_line(error)}") from error


@contextmanager
def _folder(run_dir: Path, out: str | None, dry_run: bool) -> Iterator[Path]:
    """The folder into which the files are written, which must be empty or hold an earlier `gan push`."""
    if out is None and not dry_run:
        with tempfile.TemporaryDirectory(prefix="gan-push-") as folder:
            yield Path(folder)
        return
    place = output_folder(run_dir, "hub", out)
    others = [path.name for path in place.iterdir() if path.name != "samples" and not hub.kind_of(path.name)]
    if others or (place / "checkpoints").exists():
        raise GanError(f"{place} holds other files, such as {others[0]!r}: name an empty folder by out=")
    yield place


def _tensors(run: TrainedRun, state: Mapping[str, Any], weights: str) -> dict[str, Tensor]:
    """All weights and buffers by their names in the file, each with a memory of its own."""
    # With weights=ema or raw, `run.system` holds those; with auto the averages are beside the last step's.
    system = state["system"] if weights == "auto" else run.system.state_dict()
    found = {f"system.{name}": value for name, value in system.items()}
    if weights == "auto":
        for network, average in state["ema"].items():
            found |= {f"ema.{network}.{name}": value for name, value in average.items()}
    return {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in found.items()}


def _records(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those scores whose checkpoint is named by a word or a number: others name a file."""
    return [record for record in records
            if (name := str(record.get("protocol", {}).get("checkpoint", "last"))) in CHECKPOINTS or name.isdecimal()]


def _of_checkpoint(run: TrainedRun, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The newest score of each metric at the iteration that is published, of the weights that are used by default."""
    newest = {}
    for record in records:
        protocol = record.get("protocol", {})
        if protocol.get("iteration") == run.iteration and run_history.weights(record) in ("", run.weights):
            newest[record["metric"], protocol.get("direction")] = record
    return list(newest.values())


def _copy_grids(run: TrainedRun, folder: Path) -> list[str]:
    """Copy sample images up to the published iteration, evenly spaced, the newest one last. Returns their names."""
    files = [file for file in sorted((run.path / "samples").glob("*.png"))
             if hub.kind_of(f"samples/{file.name}") and int(file.stem) <= run.iteration]  # fmt: skip
    chosen = [files[round(i * (len(files) - 1) / (GRIDS - 1))] for i in range(GRIDS)] if len(files) > GRIDS else files
    (folder / "samples").mkdir(exist_ok=True)
    for old in (folder / "samples").glob("*.png"):
        old.unlink()
    for file in chosen:
        with open(file, "rb", opener=open_regular) as content:
            (folder / "samples" / file.name).write_bytes(content.read())
    return [f"samples/{file.name}" for file in chosen]


def _task(run: TrainedRun) -> str:
    """The kind of model in the hub's words."""
    return "unconditional-image-generation" if isinstance(run.system, Generates) else "image-to-image"


def _show(folder: Path, names: Sequence[str], replaced: Sequence[str]) -> None:
    """Print what is uploaded, and what is not."""
    sizes = {name: (folder / name).stat().st_size for name in names}
    for name, size in sizes.items():
        kind = hub.kind_of(name)
        print(f"{size:>14,}  {name:<20}  {kind.what if kind else ''}")
    print(f"{sum(sizes.values()):>14,}  bytes in all")
    paths = f"; FOLDER stands for the paths in {', '.join(replaced)}" if replaced else ""
    print(f"left out: folders, machine and device of the run, the state of the optimizers{paths}", flush=True)
