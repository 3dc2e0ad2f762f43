"""Warnings about signs of failed training, such as mode collapse. Nothing here changes the training."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Mapping
from statistics import median
from typing import Any

import torch
from torch import Tensor

from gan_cli.losses.objective import Objective
from gan_cli.systems.base import System, Translates

ALIKE = 0.05  # diversity of generated samples, as a fraction of that of real ones
VANISHED = 1e-3  # gradient norm, as a fraction of its median so far
CERTAIN = 1e-3  # nats of a discriminator's log-likelihood loss; chance is 2 ln 2 = 1.39
LOGS = 3  # consecutive logs, because single ones fluctuate
HISTORY = 5  # logs before a median is meaningful
QUIET = 10  # checks after a warning before the same kind of warning is repeated
HINGE = 5  # observations of the energies
COMPARED = 64  # samples per batch: 2016 pairs


class Monitor:
    """Checks the values and samples that a run has at hand, and warns of three signs of failure.

    - Generated samples look alike: their mean pairwise distance is below 5 % of that between real ones.
    - The discriminator is saturated: in 3 consecutive logs the gradient norm of a network that generates samples was
      below 1/1000 of its median so far, or D's loss below 1/1000. The latter applies to losses that are 0 when D is
      certain and right (log-likelihood, hinge), not to those of critics, which have no such bound.
    - The hinge [m - E(G(z))]_+ of an energy-based model was closed, or open, for every generated sample so far.
    """

    def __init__(self, system: System) -> None:
        self.system = system
        self.bounded = _bounded(system)
        self._real: dict[str, float] = {}
        self._norms: dict[str, list[float]] = defaultdict(list)
        self._streak: dict[str, int] = defaultdict(int)
        self._quiet: dict[str, int] = defaultdict(int)
        self._open: list[float] = []

    def diversity(self, batch: Any, named: Mapping[str, Tensor]) -> dict[str, float]:
        """Mean distance between generated samples, divided by that between the real ones of `batch`; about 1 is good.

        named: the result of `system.sample(batch)`. Must be called inside test_mode. Returns "monitor/diversity", or
        one value per direction of a translation; without those that are not finite.
        """
        pairs = {}
        if "generated" in named:
            pairs["monitor/diversity"] = named["generated"], batch.image
        if isinstance(self.system, Translates):
            for source, direction in enumerate(self.system.directions):
                translated = self.system.translate(batch[source][:COMPARED], direction)
                pairs[f"monitor/diversity/{direction}"] = translated, batch[1 - source]
        ratios = {}
        for name, (fake, real) in pairs.items():
            if name not in self._real:
                self._real[name] = mean_distance(real)
            ratios[name] = mean_distance(fake) / self._real[name] if self._real[name] else math.nan
        return {name: ratio for name, ratio in ratios.items() if math.isfinite(ratio)}

    def alike(self, iteration: int, ratios: Mapping[str, float]) -> list[str]:
        """Warnings about the ratios that `diversity` returned."""
        lines = [
            f"warning: samples of iteration {iteration}{_of(name)} look alike: the mean distance between two is "
            f"{100 * ratio:.2g} % of that between two real ones (mode collapse?)"
            for name, ratio in ratios.items()
            if ratio < ALIKE
        ]
        return self._unless_quiet("alike", lines)

    def hinge(self, iteration: int, histograms: Mapping[str, Tensor], scalars: Mapping[str, float]) -> list[str]:
        """A warning if no energy of a generated sample so far was below the margin, or if all were.

        Applies where `histograms` has "energy/generated" and `scalars` has an "energy/margin" above 0, from the fifth
        observation on.
        """
        margin = scalars.get("energy/margin", 0.0)
        if "energy/generated" not in histograms or margin <= 0:
            return []
        energy = histograms["energy/generated"]
        self._open.append(float((energy < margin).float().mean()))
        problem = None
        if len(self._open) >= HINGE and max(self._open) == 0:
            problem = "never opens: D learns nothing from generated samples; a larger margin would let it"
        elif len(self._open) >= HINGE and min(self._open) == 1:
            problem = "never closes: D only ever lifts the energy of generated samples; try a smaller margin"
        state = f"the mean energy of samples is {float(energy.mean()):.3g}, the margin {margin:.3g}"
        lines = [f"warning: iteration {iteration}: the hinge {problem} ({state})"] if problem else []
        return self._unless_quiet("hinge", lines)

    def saturated(self, iteration: int, values: Mapping[str, float]) -> list[str]:
        """Warnings about the logged `values`, `turn/term` and `turn/grad_norm/network`."""
        norms = [name.split("/") for name in values if "/grad_norm/" in name]
        generator_turns = {turn for turn, _, network in norms if network in self.system.sampling_networks}
        signs = []
        for turn, _, network in norms:
            name = f"{turn}/grad_norm/{network}"
            if network in self.system.sampling_networks:
                typical = self._typical(name, values[name])
                if self._lasts(name, values[name] <= VANISHED * typical):
                    signs.append(
                        f"the gradient norm of network '{network}' was below 1/1000 of its median {typical:.3g} "
                        f"in {LOGS} logs in a row ({values[name]:.2g} now)"
                    )
        for turn in sorted({turn for turn, _, _ in norms} - generator_turns):
            name = f"{turn}/adversarial"
            if self.bounded and name in values and self._lasts(name, values[name] < CERTAIN):
                signs.append(f"its loss {name} was below {CERTAIN:g} in {LOGS} logs in a row ({values[name]:.2g} now)")
        lines = [f"warning: iteration {iteration}: is the discriminator saturated? {'; '.join(signs)}"] if signs else []
        return self._unless_quiet("saturated", lines)

    def _typical(self, name: str, value: float) -> float:
        """The median of the earlier norms; -1, which no norm is below, while there are few."""
        before = self._norms[name]
        typical = median(before) if len(before) >= HISTORY else -1.0
        before.append(value)
        return typical

    def _lasts(self, name: str, sign: bool) -> bool:
        """Whether the sign was there in enough consecutive logs."""
        self._streak[name] = self._streak[name] + 1 if sign else 0
        return self._streak[name] >= LOGS

    def _unless_quiet(self, kind: str, lines: list[str]) -> list[str]:
        """The lines, or none if a warning of this kind was printed a short time ago."""
        if self._quiet[kind]:
            self._quiet[kind] -= 1
            return []
        if lines:
            self._quiet[kind] = QUIET
        return lines


def mean_distance(samples: Tensor) -> float:
    """Mean L2 distance between pairs of the first 64 samples (N, ...); nan for fewer than two samples."""
    return float(torch.pdist(samples[:COMPARED].flatten(1).float()).mean())


def _bounded(system: System) -> bool:
    """Whether D's loss has the lower bound 0, which it reaches when all scores are right and far from 0."""
    objective = getattr(system, "objective", None)
    if not isinstance(objective, Objective):
        return False
    far = torch.full((2, 1), 1e4)
    terms = dataclasses.replace(objective.at(0), penalty=None).d_loss(lambda score: score, far, -far)
    return float(terms["adversarial"]) == 0


def _of(name: str) -> str:
    direction = name.removeprefix("monitor/diversity").lstrip("/")
    return f" ({direction})" if direction else ""
