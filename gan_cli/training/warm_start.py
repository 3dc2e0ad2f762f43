"""Start a run from the weights of an earlier one (`trainer.init_from`), and keep weights as they are (`trainer.freeze`,
such as FreezeD: Mo, Cho, Shin 2020, arXiv 2002.10964).
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from gan_cli.systems.base import System
from gan_cli.systems.unrolled import UnrolledGAN
from gan_cli.training import checkpoint
from gan_cli.training.ema import EMA
from gan_cli.training.find_runs import existing_run, refuse_links
from gan_cli.training.run_dir import RunDir
from gan_cli.utils.distributed import print_once
from gan_cli.utils.errors import GanError, suggest

NAMED = 5  # weights that a note names


class Source(NamedTuple):
    """The checkpoint that a run starts from.

    averages: network -> its averaged weights, those of the last step if the run kept no average; facts: for the
    provenance.
    """

    averages: dict[str, dict[str, Tensor]]
    facts: dict[str, Any]


def start(system: System, path: str, networks: Sequence[str] | None) -> Source:
    """Copy weights and buffers of the checkpoint at `path`, a run or a .pt file, into the networks of `system`.

    networks: which ones; None: all that both have. A tensor that the checkpoint lacks, or has in another shape, keeps
    its value and is named. Raises GanError if there is no such checkpoint, no such network, or nothing to copy.
    """
    file = _checkpoint(path)
    state = checkpoint.load(file)
    saved = {name: _part(state["system"], name) for name, _ in system.named_children()}
    own = [name for name, network in system.named_children() if any(True for _ in network.parameters())]
    for name in networks or ():
        if name not in own:
            raise GanError(f"trainer.init_networks: this model has no network '{name}'{suggest(name, own)}")
        if not saved[name]:
            theirs = ", ".join(sorted({key.partition(".")[0] for key in state["system"]}))
            raise GanError(f"trainer.init_networks: {file} has no network '{name}'; it has {theirs}")
    chosen = [name for name in own if (networks is None and saved[name]) or name in (networks or ())]
    copied: dict[str, int] = {}
    skipped: dict[str, str] = {}
    for name in chosen:
        copied[name], missing = copy(system.get_submodule(name), saved[name])
        skipped |= {f"{name}.{key}": reason for key, reason in missing.items()}
    if not any(copied.values()):
        raise GanError(f"trainer.init_from: no weight of {file} fits a network of this model")
    facts = {
        "checkpoint": str(file.resolve()), "sha256": _digest(file), "iteration": state["iteration"],
        "networks": copied, "skipped": skipped,
    }  # fmt: skip
    _say(file, facts, [name for name in own if name not in chosen])
    return Source({name: state["ema"].get(name, saved[name]) for name in chosen}, facts)


def start_averages(ema: EMA, averages: Mapping[str, dict[str, Tensor]]) -> None:
    """Let the averages start from those of the source, where it has these networks."""
    for name, average in ema.copies.items():
        if name in averages:
            copy(average, averages[name])


def copy(network: nn.Module, saved: Mapping[str, Tensor]) -> tuple[int, dict[str, str]]:
    """Copy the tensors that fit. Returns their number, and for each other tensor of `network` why it was not copied."""
    own, skipped = network.state_dict(), {}
    for key, value in own.items():
        if key not in saved:
            skipped[key] = "not in the checkpoint"
        elif saved[key].shape != value.shape:
            skipped[key] = f"shape {tuple(saved[key].shape)} there and {tuple(value.shape)} here"
        elif saved[key].is_floating_point() != value.is_floating_point():
            skipped[key] = f"{saved[key].dtype} there and {value.dtype} here"
    network.load_state_dict({key: saved[key] for key in own if key not in skipped}, strict=False)
    return len(own) - len(skipped), skipped


def frozen(system: System, names: Sequence[str] | None) -> set[nn.Parameter]:
    """The weights that trainer.freeze=`names` keeps: of whole networks, and of layers such as discriminator.layers.0.

    Raises GanError for a name that no weight has, and if nothing of a network that a turn trains is left to train.
    """
    weights = dict(system.named_parameters())
    kept: set[nn.Parameter] = set()
    for name in names or ():
        found = [weight for key, weight in weights.items() if key == name or key.startswith(f"{name}.")]
        if not found:
            places = sorted({key.rpartition(".")[0] for key in weights} | {key.partition(".")[0] for key in weights})
            raise GanError(f"trainer.freeze: no network or layer '{name}'{suggest(name, places)}")
        kept.update(found)
    if isinstance(system, UnrolledGAN) and kept.intersection(system.discriminator.parameters()):
        raise GanError("trainer.freeze: the unrolled steps train all of D; freeze layers of the generator only")
    for turn in system.turns():
        for name in turn.trains:
            own = [key for key in weights if key.startswith(f"{name}.")]
            if kept and kept.issuperset(map(weights.get, own)):
                raise GanError(
                    f"trainer.freeze: nothing of network '{name}' is left for turn '{turn.name}' to train; name layers "
                    f"of it, such as {own[0].rpartition('.')[0]}"
                )
    return kept


def _checkpoint(path: str) -> Path:
    """The checkpoint file that trainer.init_from names."""
    file = Path(path).expanduser()
    if file.is_file() and file.suffix == ".pt":
        return file
    try:
        run = RunDir(existing_run(str(file)))
    except GanError as error:
        raise GanError(f"trainer.init_from: {error}; it is a run directory or a checkpoint, NAME.pt") from error
    refuse_links(run.path)
    if not run.last.exists():
        raise GanError(f"trainer.init_from={path}: this run has no checkpoint yet")
    return run.last


def _part(state: Mapping[str, Tensor], network: str) -> dict[str, Tensor]:
    """The tensors of one network, by their names within it."""
    return {key.removeprefix(f"{network}."): value for key, value in state.items() if key.startswith(f"{network}.")}


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _say(file: Path, facts: Mapping[str, Any], others: Sequence[str]) -> None:
    """Print which weights a run starts from, and which not."""
    skipped = facts["skipped"]
    parts = ", ".join(
        f"{name} {count} of {count + sum(key.startswith(f'{name}.') for key in skipped)} tensors"
        for name, count in facts["networks"].items()
    )
    print_once(f"starting from {file}, iteration {facts['iteration']}: {parts}")
    if skipped:
        shown = "; ".join(f"{key}: {reason}" for key, reason in list(skipped.items())[:NAMED])
        more = f"; and {len(skipped) - NAMED} more" if len(skipped) > NAMED else ""
        print_once(f"not copied: {shown}{more}")
    if others:
        print_once(f"not in the checkpoint, or not chosen: {', '.join(others)}")
