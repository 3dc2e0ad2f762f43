"""Turns into updates: the only file that freezes, steps and averages gradients."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_cli.data.base import Batch, Dataset
from gan_cli.systems.base import System, Turn
from gan_cli.training.ema import EMA
from gan_cli.training.fast_import import without_dynamo
from gan_cli.training.prefetch import Ahead
from gan_cli.training.schedules import Schedule
from gan_cli.utils import distributed, random
from gan_cli.utils.errors import Diverged, reading


class Trainer:
    """Plays the turns of `system` on the stream of `dataset`.

    batch_size: of all processes together. iterations: the run's length, for the schedules. ema_decay 0: no average.
    schedule: the factor on the learning rates. momentum: the momentum of optimisers that have one. prefetch: a thread
    makes the next batch.
    After construction the default random generators belong to the run; `state_dict` holds all that shapes the
    next iteration.
    """

    def __init__(
        self,
        system: System,
        dataset: Dataset,
        optimizers: dict[str, Optimizer],
        *,
        batch_size: int,
        iterations: int,
        seed: int,
        ema_decay: float = 0.0,
        schedule: Schedule | None = None,
        momentum: Schedule | None = None,
        prefetch: bool = False,
    ) -> None:
        self.system, self.dataset, self.optimizers = system, dataset, optimizers
        self.batch_size, self.iterations, self.seed = batch_size, iterations, seed
        self.schedule, self.momentum = schedule, momentum
        self.device = system.device
        system.optimizers = optimizers
        self.iteration = 0  # finished ones
        self.position = 0  # samples taken from the data stream, by all processes together
        self.base_lr = {name: optimizer.param_groups[0]["lr"] for name, optimizer in optimizers.items()}
        self.ema = EMA(system, system.sampling_networks, ema_decay) if ema_decay else None
        # Walking the modules at every step would cost small networks more than their arithmetic.
        self._parameters = {name: list(network.parameters()) for name, network in system.named_children()}
        self._moving: tuple[str, ...] | None = None
        self._unchecked: list[tuple[int, str, Tensor]] = []
        self._batches = Ahead(self._batch, batch_size, self.device.type == "cuda") if prefetch else self._batch
        random.seed(seed, distributed.rank(), distributed.world())
        torch.manual_seed(seed + distributed.rank())
        distributed.broadcast(system)

    def iterate(self) -> dict[str, Tensor]:
        """Every turn once, `steps` times each. Returns `turn/term` and gradient norms, detached, without a sync."""
        self.system.iteration = self.iteration
        self._set_schedules()
        first: Batch | None = None
        scalars: dict[str, Tensor] = {}
        for turn in self.system.turns():
            for step in range(turn.steps):
                if step == 0:
                    first = batch = first if first is not None else self._next_batch()
                else:
                    batch = self._next_batch()
                values = self._step(turn, batch)
                self._unchecked += [(self.iteration, name, value) for name, value in values.items()]
                scalars.update(values)
        if self.ema:
            self.ema.update(self.iteration)
        self.iteration += 1
        return scalars

    def _step(self, turn: Turn, batch: Batch) -> dict[str, Tensor]:
        self._unfreeze(turn.trains)
        terms = turn.loss(batch)
        loss = torch.stack([term.reshape(()) for term in terms.values()]).sum()
        with without_dynamo():
            for name in turn.trains:
                self.optimizers[name].zero_grad(set_to_none=True)
        loss.backward()
        values = {f"{turn.name}/{name}": term.detach() for name, term in terms.items()}
        for name in turn.trains:
            parameters = self._parameters[name]
            distributed.average_gradients(parameters)
            values[f"{turn.name}/grad_norm/{name}"] = _norm(parameters)
            if turn.clip_norm is not None:
                nn.utils.clip_grad_norm_(parameters, turn.clip_norm)
            with without_dynamo():
                self.optimizers[name].step()
        if turn.after_step is not None:
            turn.after_step()
        return values

    def _unfreeze(self, trains: tuple[str, ...]) -> None:
        if trains != self._moving:
            for name, parameters in self._parameters.items():
                for parameter in parameters:
                    parameter.requires_grad_(name in trains)
            self._moving = trains

    def _next_batch(self) -> Batch:
        batch = self._batches(self.position)
        self.position += self.batch_size
        return to_device(batch, self.device)

    def _batch(self, position: int) -> Batch:
        """This process's share of the batch at `position` of the stream."""
        share = self.batch_size // distributed.world()
        with reading("dataset"):
            return self.dataset.train_batch(self.seed, position + distributed.rank() * share, share)

    def _set_schedules(self) -> None:
        factor = self.schedule(self.iteration, self.iterations) if self.schedule else 1.0
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = self.base_lr[name] * factor
                if self.momentum:
                    group["momentum"] = self.momentum(self.iteration, self.iterations)

    def check_finite(self) -> None:
        """Read the scalars since the last call (one sync). Diverged names the first that is not finite."""
        suspects, self._unchecked = self._unchecked, []
        if not suspects:
            return
        finite = torch.stack([value.float() for _, _, value in suspects]).isfinite().tolist()
        if all(finite):
            return
        iteration, name, value = suspects[finite.index(False)]
        turn, _, term = name.partition("/")
        what = (
            f"the gradient of network '{term.split('/')[1]}' in turn '{turn}'"
            if "/" in term
            else f"term '{name}'"
        )
        raise Diverged(f"{what} is {float(value)} at iteration {iteration + 1}")

    def check_weights(self) -> None:
        """Diverged if a weight is not finite: such a state must not become a checkpoint."""
        for name, network in self.system.named_children():
            if not math.isfinite(sum(float(p.detach().abs().sum()) for p in network.parameters())):
                raise Diverged(f"a weight of network '{name}' is not finite after iteration {self.iteration}")

    def state_dict(self) -> dict[str, Any]:
        """All that shapes the next iteration; tensors and plain values. Every process calls it."""
        local = {
            "draw": random.state_dict(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state() if self.device.type == "cuda" else None,
            "system": self._local_state() if distributed.rank() else {},
        }
        with without_dynamo():
            optimizers = {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()}
        return {
            "iteration": self.iteration,
            "position": self.position,
            "system": self.system.state_dict(),
            "ema": {name: network.state_dict() for name, network in self.ema.copies.items()}
            if self.ema
            else {},
            "optimizers": optimizers,
            "processes": distributed.gather(local),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`. To the bit when device and number of processes are the same."""
        self.iteration, self.position = state["iteration"], state["position"]
        self.system.load_state_dict(state["system"])
        if self.ema:
            for name, network in self.ema.copies.items():
                network.load_state_dict(state["ema"][name])
        for name, optimizer in self.optimizers.items():
            saved = state["optimizers"][name]
            pairs = zip(optimizer.param_groups, saved["param_groups"], strict=True)
            # The run's config counts, not what the checkpoint remembers of it.
            groups = [{**own, "params": group["params"]} for own, group in pairs]
            with without_dynamo():
                optimizer.load_state_dict({**saved, "param_groups": groups})
        processes, rank = state["processes"], distributed.rank()
        local = processes[rank] if rank < len(processes) else processes[0]
        self.system.load_state_dict(local["system"], strict=False)
        random.load_state_dict(local["draw"])
        torch.set_rng_state(local["torch"].cpu())
        if local["cuda"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(local["cuda"].cpu())

    def _local_state(self) -> dict[str, Any]:
        """What may differ between the processes: buffers and image pools."""
        shared = {name for name, _ in self.system.named_parameters()}
        return {name: value for name, value in self.system.state_dict().items() if name not in shared}


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The same batch on `device`; None stays None."""
    moved = (part if part is None else part.to(device, non_blocking=True) for part in batch)
    return type(batch)(*moved)  # type: ignore[arg-type]


def _norm(parameters: list[nn.Parameter]) -> Tensor:
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return parameters[0].new_zeros(())
    return torch.stack(torch._foreach_norm(gradients)).norm()
