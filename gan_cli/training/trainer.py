"""Train the turns of a system: the only module that freezes networks, averages gradients and steps optimizers."""

import math
from collections.abc import Iterator, Mapping, Set
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_cli.data.base import Batch, Dataset
from gan_cli.systems.base import System, Terms, Turn
from gan_cli.training.accumulation import Backward
from gan_cli.training.ema import EMA
from gan_cli.training.prefetch import Prefetcher
from gan_cli.training.schedules import Schedule
from gan_cli.utils import distributed, random
from gan_cli.utils.errors import Diverged, GanError, reading


def backward(turn: Turn, batch: Batch, optimizers: Mapping[str, Optimizer]) -> Terms:
    """The terms of the turn's loss, and in `.grad` the gradients of their sum for the networks that it trains."""
    # The loss is the sum of its terms, which are named for the log. Stacked, they are added in one kernel.
    terms = turn.loss(batch)
    loss = torch.stack([term.reshape(()) for term in terms.values()]).sum()

    # None instead of zeros: an optimizer skips weights that the loss has not reached, instead of decaying them.
    for name in turn.trains:
        optimizers[name].zero_grad(set_to_none=True)
    loss.backward()
    return terms


class Trainer:
    """Trains `system` on batches of `dataset`, one iteration at a time.

    optimizers: by the name of the network that each one steps. batch_size: of all processes together. iterations: the
    length of the run, for the schedules. ema_decay: of the averaged networks; 0 keeps none. schedule: a factor on every
    learning rate. momentum_schedule: the momentum of optimizers that have one. prefetch: load the next batch in a
    thread. frozen: weights that no turn trains. backward: computes the gradients of a turn.

    After construction the default random generators belong to the run; `state_dict` returns everything that the next
    iteration depends on.
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
        momentum_schedule: Schedule | None = None,
        prefetch: bool = False,
        frozen: Set[nn.Parameter] = frozenset(),
        backward: Backward = backward,
    ) -> None:
        self.system, self.dataset, self.optimizers = system, dataset, optimizers
        self.batch_size, self.iterations, self.seed = batch_size, iterations, seed
        self.schedule, self.momentum_schedule = schedule, momentum_schedule
        self.device = system.device
        system.optimizers = optimizers
        self.iteration = 0  # finished iterations
        self.position = 0  # samples read from the data stream, by all processes together
        self.whole = True  # whether the state is that after `iteration` iterations, none of which is in progress
        self.base_lr = {name: optimizer.param_groups[0]["lr"] for name, optimizer in optimizers.items()}
        self.ema = EMA(system, system.sampling_networks, ema_decay) if ema_decay else None
        # Listed once: walking the modules at every step would cost small networks more time than their arithmetic.
        self._parameters = {name: list(network.parameters()) for name, network in system.named_children()}
        self._frozen, self._backward = frozen, backward
        self._unfrozen: tuple[str, ...] | None = None
        self._unchecked: list[tuple[int, str, Tensor]] = []
        self._batches = Prefetcher(self._batch, batch_size, self.device.type == "cuda") if prefetch else None
        # Noise is shared between the processes by rank (utils/random); torch's own generator, which dropout uses, has
        # to differ between them, or each would drop the same units.
        random.seed(seed, distributed.rank(), distributed.world())
        torch.manual_seed(seed + distributed.rank())
        # Every process builds its networks from the same seed, but that they start equal must not depend on it.
        distributed.broadcast(system)

    def iterate(self) -> dict[str, Tensor]:
        """Train every turn once, `steps` times each.

        Returns the terms of the losses (`turn/term`) and the gradient norms (`turn/grad_norm/network`), of each turn's
        last step: detached, on the device, so that nothing here waits for a GPU.
        """
        # Systems may weight their terms by the iteration, and both schedules are functions of it.
        self.system.iteration = self.iteration
        turns = self.system.turns()
        batches = self._read(turns)
        self.whole = False
        self._set_schedules()

        # All turns share the first batch, so that G and D of a translation model are trained on the same images. Each
        # further step of a turn takes a new batch, so that several critic steps see different images.
        first = to_device(next(batches), self.device)
        scalars: dict[str, Tensor] = {}
        for turn in turns:
            for step in range(turn.steps):
                values = self._step(turn, first if step == 0 else to_device(next(batches), self.device))
                # Whether a value is finite is asked later, for many at once: each question would wait for the GPU.
                self._unchecked += [(self.iteration, name, value) for name, value in values.items()]
                scalars.update(values)

        # Once per iteration, whatever the number of critic steps, so that a decay means the same for every model.
        if self.ema:
            self.ema.update(self.iteration)
        self.iteration += 1
        self.whole = True
        return scalars

    def _step(self, turn: Turn, batch: Batch) -> dict[str, Tensor]:
        # Frozen networks build no graph of their own: D(G(z)) in D's turn stops at G.
        self._unfreeze(turn.trains)
        terms = self._backward(turn, batch, self.optimizers)
        values = {f"{turn.name}/{name}": term.detach() for name, term in terms.items()}

        # The logged norm is that of the averaged gradient before clipping: it shows explosions that clipping hides.
        for name in turn.trains:
            parameters = self._parameters[name]
            distributed.average_gradients(parameters)
            values[f"{turn.name}/grad_norm/{name}"] = _norm(parameters)
            if turn.clip_norm is not None:
                nn.utils.clip_grad_norm_(parameters, turn.clip_norm)
            self.optimizers[name].step()

        # Constraints on the new weights, such as weight clipping.
        if turn.after_step is not None:
            turn.after_step()
        return values

    def _unfreeze(self, networks: tuple[str, ...]) -> None:
        """Let gradients reach `networks` only. Does nothing if the last step trained the same ones."""
        if networks != self._unfrozen:
            for name, parameters in self._parameters.items():
                for parameter in parameters:
                    parameter.requires_grad_(name in networks and parameter not in self._frozen)
            self._unfrozen = networks

    def _read(self, turns: list[Turn]) -> Iterator[Batch]:
        """The batches of an iteration, all read before its first step: an error in the data changes nothing else."""
        count = 1 + sum(turn.steps - 1 for turn in turns if turn.steps)
        positions = range(self.position, self.position + count * self.batch_size, self.batch_size)
        ahead = self._batches
        batches = ahead.several(self.position, count) if ahead else list(map(self._batch, positions))
        self.position = positions.stop
        return iter(batches)

    def _batch(self, position: int) -> Batch:
        """This process's share of the batch at `position` of the stream."""
        share = self.batch_size // distributed.world()
        try:
            with reading("dataset"):
                return self.dataset.train_batch(self.seed, position + distributed.rank() * share, share)
        except OSError as error:
            raise GanError(f"dataset: cannot read {error.filename or 'it'}: {error.strerror or error}") from error

    def _set_schedules(self) -> None:
        factor = self.schedule(self.iteration, self.iterations) if self.schedule else 1.0
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = self.base_lr[name] * factor
                if self.momentum_schedule:
                    group["momentum"] = self.momentum_schedule(self.iteration, self.iterations)

    def check_finite(self) -> None:
        """Check all scalars since the last call, which waits for the GPU once.

        Raises Diverged, naming the first one that is not finite.
        """
        unchecked, self._unchecked = self._unchecked, []
        if not unchecked:
            return
        finite = torch.stack([value.float() for _, _, value in unchecked]).isfinite().tolist()
        if all(finite):
            return
        iteration, name, value = unchecked[finite.index(False)]
        turn, _, term = name.partition("/")
        subject = (
            f"the gradient of network '{term.split('/')[1]}' in turn '{turn}'" if "/" in term else f"term '{name}'"
        )
        raise Diverged(f"{subject} is {float(value)} at iteration {iteration + 1}")

    def check_weights(self) -> None:
        """Raise Diverged if a weight is not finite: such a state must not become a checkpoint."""
        for name, network in self.system.named_children():
            if not math.isfinite(sum(float(p.detach().abs().sum()) for p in network.parameters())):
                raise Diverged(f"a weight of network '{name}' is not finite after iteration {self.iteration}")

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next iteration depends on: tensors and plain values. All processes must call it."""
        local = {
            "random": random.state_dict(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state() if self.device.type == "cuda" else None,
            "system": self._local_state() if distributed.rank() else {},  # rank 0's is in "system" below
        }
        return {
            "iteration": self.iteration,
            "position": self.position,
            "system": self.system.state_dict(),
            "ema": {name: network.state_dict() for name, network in self.ema.copies.items()} if self.ema else {},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "processes": distributed.gather(local),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`, bit for bit if device and number of processes are the same.

        Raises KeyError, RuntimeError or ValueError if the state is of other networks or optimizers.
        """
        self.iteration, self.position = state["iteration"], state["position"]
        self.system.load_state_dict(state["system"])
        if self.ema:
            for name, network in self.ema.copies.items():
                network.load_state_dict(state["ema"][name])

        # Moments come from the checkpoint, settings such as betas from the config, which the user may have changed.
        for name, optimizer in self.optimizers.items():
            saved = state["optimizers"][name]
            groups = [
                {**group, "params": saved_group["params"]}
                for group, saved_group in zip(optimizer.param_groups, saved["param_groups"], strict=True)
            ]
            optimizer.load_state_dict({**saved, "param_groups": groups})

        # A process that the saved run did not have continues from the state of its first one.
        processes, rank = state["processes"], distributed.rank()
        local = processes[rank] if rank < len(processes) else processes[0]
        self.system.load_state_dict(local["system"], strict=False)
        random.load_state_dict(local["random"])
        torch.set_rng_state(local["torch"].cpu())
        if local["cuda"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(local["cuda"].cpu())

    def _local_state(self) -> dict[str, Any]:
        """State of the system that may differ between the processes: buffers and image pools."""
        parameters = {name for name, _ in self.system.named_parameters()}
        return {name: value for name, value in self.system.state_dict().items() if name not in parameters}


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The same batch on `device`; parts that are None stay None."""
    parts = (part if part is None else part.to(device, non_blocking=True) for part in batch)
    return type(batch)(*parts)  # type: ignore[arg-type]


def _norm(parameters: list[nn.Parameter]) -> Tensor:
    """The L2 norm of the whole gradient of a network; 0 if it has none."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return parameters[0].new_zeros(())
    return torch.stack(torch._foreach_norm(gradients)).norm()
