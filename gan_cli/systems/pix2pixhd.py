"""pix2pixHD (Wang, Liu, Zhu, Tao, Kautz, Catanzaro 2018, arXiv 1711.11585): large pictures from pictures or label maps.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gan_cli.data.base import Pairs
from gan_cli.losses.objective import Objective
from gan_cli.losses.penalties import Critic
from gan_cli.losses.regularizers import feature_matching_l1
from gan_cli.networks.pix2pixhd import half
from gan_cli.systems.base import System, Terms, Turn
from gan_cli.systems.image_pool import ImagePool


class Pix2PixHD(System):
    """min_G  sum_k max_{D_k} L_GAN(G, D_k) + lambda_feature L_FM(G, D_k) [+ lambda_vgg L_VGG].

    Plays on pairs: s, the source, is all that G sees (label_nc 0 in the authors' code). G1: s -> picture, or its last
    features; G2, the enhancer: (s, G1's features at half size) -> picture; D: (s, x) -> features and scores of each
    scale; perceptual: (fake, real) -> L_VGG. D's loss is halved, G's is not; both are sums over scales.

    With G2 one run plays the paper's three phases. In the first `global_iterations` G1 learns alone at half the size,
    with its own output layers, against the D's but the finest; in the next `fixed_iterations` only G2 learns; then
    both. Without G2, G1 works at full size all the time. ValueError for phases without G2.
    """

    batch_type: ClassVar[type] = Pairs
    sampling_networks: ClassVar[tuple[str, ...]] = ("G1",)
    directions: ClassVar[tuple[str, ...]] = ("x2y",)

    def __init__(
        self,
        G1: nn.Module,
        D: nn.Module,
        objective: Objective,
        G2: nn.Module | None = None,
        global_iterations: int = 0,
        fixed_iterations: int = 0,
        perceptual: Callable[[Tensor, Tensor], Tensor] | None = None,
        lambda_feature: float = 10.0,
        lambda_vgg: float = 10.0,
        pool_size: int = 0,
    ) -> None:
        super().__init__()
        if G2 is None and (global_iterations or fixed_iterations):
            raise ValueError("global_iterations and fixed_iterations are phases of G2: add it, or set them to 0")
        if G2 is not None and G1.width != 2 * G2.width:  # type: ignore[operator]
            raise ValueError(f"G1.width={G1.width}, G2.width={G2.width}: G1 must be twice as wide as the enhancer G2")
        if global_iterations < 0 or fixed_iterations < 0:
            raise ValueError(f"a phase has 0 iterations or more, not {global_iterations} and {fixed_iterations}")
        self.G1, self.D, self.objective = G1, D, objective
        if G2 is not None:
            self.G2 = G2
            self.sampling_networks = ("G1", "G2")  # type: ignore[misc]
        self.enhanced = G2 is not None
        self.global_iterations, self.fixed_iterations = global_iterations, fixed_iterations
        self.perceptual = perceptual
        self.lambda_feature, self.lambda_vgg = lambda_feature, lambda_vgg
        self.pool = ImagePool(pool_size)

    @property
    def alone(self) -> bool:
        """Whether G1 learns by itself at this iteration."""
        return not self.enhanced or self.iteration < self.global_iterations

    def trains(self) -> tuple[str, ...]:
        """The networks of G that learn at this iteration."""
        if self.alone:
            return ("G1",)
        fixed = self.iteration < self.global_iterations + self.fixed_iterations
        return ("G2",) if fixed else ("G1", "G2")

    @property
    def capturable(self) -> bool:
        """Once the pool is full: until then it grows. The phases show in what moves."""
        return self.pool.full

    def turns(self) -> list[Turn]:
        steps = self.objective.steps_at(self.iteration)
        return [
            Turn("G", self.trains(), self.g_loss),
            Turn("D", ("D",), self.d_loss, steps, lambda: self.objective.constrain(self.D)),
        ]

    def g_loss(self, batch: Any) -> Terms:
        """Also keeps this iteration's fakes, without their graphs, for D's turn."""
        s, x = self.condition(batch), batch[1]
        y = self.paint(self.view(batch, s))
        s, x = self.fit(s), self.fit(x)
        fake, real = torch.cat([s, y], dim=1), torch.cat([s, x], dim=1)
        self.shown = self.pool.query(fake)
        D = self.look()
        scores = [self.objective.g_loss(critic(D, k), fake, real)["adversarial"] for k in range(len(D(fake)))]
        terms = {"adversarial": torch.stack(scores).sum()}
        if self.lambda_feature:
            terms["feature"] = self.lambda_feature * feature_matching_l1(D(real), D(fake))
        if self.perceptual is not None:
            terms["vgg"] = self.lambda_vgg * self.perceptual(y, x)
        return terms

    def d_loss(self, batch: Any) -> Terms:
        """Half the sum over the scales of each term."""
        real, D = torch.cat([self.fit(self.condition(batch)), self.fit(batch[1])], dim=1), self.look()
        terms = [self.objective.d_loss(critic(D, k), real, self.shown) for k in range(len(D(real)))]
        return {name: torch.stack([term[name] for term in terms]).sum() / 2 for name in terms[0]}

    def look(self) -> Callable[[Tensor], list[list[Tensor]]]:
        """(s, x) concatenated -> D's features of each scale in use, computed once for each tensor."""
        known: list[tuple[Tensor, list[list[Tensor]]]] = []
        skip = int(self.enhanced and self.alone)

        def D(x: Tensor) -> list[list[Tensor]]:
            for image, features in known:
                if image is x:
                    return features
            known.append((x, self.D(x, skip)))
            return known[-1][1]

        return D

    def condition(self, batch: Any) -> Tensor:
        """s at full size."""
        return batch.source

    def view(self, batch: Any, s: Tensor) -> Tensor:
        """What G sees, at full size."""
        return s

    def fit(self, image: Tensor) -> Tensor:
        """At the size of this iteration's phase."""
        return half(image) if self.enhanced and self.alone else image

    def paint(self, view: Tensor) -> Tensor:
        """The picture of this iteration's phase."""
        return self.G1(self.fit(view)) if self.alone else self.full(view)

    def full(self, view: Tensor) -> Tensor:
        return self.G2(view, self.G1(half(view), features=True)) if self.enhanced else self.G1(view)

    def show(self, view: Tensor) -> Tensor:
        """The picture at full size: until the enhancer has learned, G1's own, doubled."""
        if self.global_iterations > 0 and self.iteration <= self.global_iterations:
            return self.G1(half(view)).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        return self.full(view)

    def translate(self, image: Tensor, direction: str = "x2y") -> Tensor:
        """G(image), (N, C, H, W)."""
        return self.show(image)

    def sample(self, batch: Any) -> dict[str, Tensor]:
        return {"source": batch.source, "fake": self.show(batch.source), "real": batch.target}


def critic(D: Callable[[Tensor], list[list[Tensor]]], k: int) -> Critic:
    """(s, x) -> the scores of D_k."""
    return lambda x: D(x)[k][-1]
