"""Scores of a run, each with the protocol that it was taken by."""

import json
from collections.abc import Sequence
from pathlib import Path

from gan_cli import build
from gan_cli.errors import GanError, suggest
from gan_cli.paths import conf_dir
from gan_cli.rundir import now, provenance
from gan_cli.sampling import Trained


def evaluate(
    run_dir: Path,
    *,
    metric: list[str],
    n: int = 10_000,
    seed: int = 0,
    checkpoint: str = "last",
    weights: str = "auto",
    device: str = "auto",
    allowed_modules: Sequence[str] = (),
) -> None:
    """Print each metric of conf/metric on `n` samples and append it, with its protocol, to RUN_DIR/evaluation.jsonl."""
    if n < 1:
        raise GanError(f"n={n}: ask for at least one sample")
    names = sorted(path.stem for path in (conf_dir() / "metric").glob("*.yaml"))
    for name in metric:
        if name not in names:
            raise GanError(f"no metric '{name}'{suggest(name, names)}")
    run = Trained(
        run_dir, checkpoint=checkpoint, weights=weights, device=device, allowed_modules=allowed_modules
    )
    for name in metric:
        score = build.metric(conf_dir() / "metric" / f"{name}.yaml")
        with run.test_mode(seed) as game:
            try:
                values = score(game, run.data, n)
            except ValueError as error:
                raise GanError(str(error)) from error
        protocol = {
            "n": n,
            "seed": seed,
            "iteration": run.iteration,
            "weights": run.weights,
            "device": str(run.device),
            "data": run.data.fingerprint(),
        }
        shown = "  ".join(f"{key} {value:.4f}" for key, value in values.items())
        print(f"{name}: {shown}  (" + ", ".join(f"{key} {value}" for key, value in protocol.items()) + ")")
        facts = provenance()
        record = {
            "metric": name,
            "values": values,
            "protocol": protocol,
            "time": now(),
            "versions": facts["versions"],
            "git": facts["git"],
        }
        with open(run_dir / "evaluation.jsonl", "a") as file:
            file.write(json.dumps(record) + "\n")
