"""The memory of real training steps in a process of their own, for models that no dry run can follow."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from gan_cli.utils.errors import GanError


def measure(cfg: DictConfig, allowed: tuple[str, ...]) -> int:
    """Bytes that two iterations and a grid of samples add to a process. Linux only; GanError if the process fails."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_train, args=(OmegaConf.to_yaml(cfg), allowed, there))
    process.start()
    there.close()
    try:
        size: int = here.recv()
    except EOFError as error:
        raise GanError(
            "a training step in a process of its own failed, perhaps for lack of memory: try trainer.batch_size=1"
        ) from error
    finally:
        process.join()
    return size


def _train(text: str, allowed: tuple[str, ...], result: Connection) -> None:
    from gan_cli.config import schema
    from gan_cli.systems.base import test_mode
    from gan_cli.tools.doctor.stand_in import stand_in
    from gan_cli.training import build

    cfg = OmegaConf.create(text)
    assert isinstance(cfg, DictConfig)
    schema.check(cfg, allowed)
    schema.complete(cfg)
    before = _status("VmRSS")
    data, system = stand_in(cfg), build.system(cfg)
    build.dry_run(cfg, system, data)
    trainer = build.trainer(cfg, system, data)
    for _ in range(2):
        trainer.iterate()
    with test_mode(system, 0):
        system.sample(data.test_batch(0, cfg.trainer.sample_count))
    result.send(_status("VmHWM") - before)


def _status(key: str) -> int:
    """A size of this process in bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024
