"""pix2pixHD (Wang, Liu, Zhu, Tao, Kautz, Catanzaro 2018, arXiv 1711.11585): translation of images at high resolution,
from a coarse to a fine generator. Label maps are in pix2pixhd_labels.py.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from gan_cli.data.base import LabelMaps, Pairs
from gan_cli.losses.critic import CachedCritic
from gan_cli.losses.objective import Objective
from gan_cli.losses.penalties import Critic
from gan_cli.losses.regularizers import feature_matching_l1
from gan_cli.networks.pix2pixhd import half
from gan_cli.networks.vgg import VGGLoss
from gan_cli.systems.base import System, Terms, Turn
from gan_cli.systems.image_pool import ImagePool

Features = list[list[Tensor]]
"""D's feature maps at each scale, the finest scale first; the last map of a scale is its scores."""


class Pix2PixHD(System[Pairs | LabelMaps]):
    """min_G  sum_k max_{D_k} L_GAN(G, D_k) + lambda_feature L_FM(G, D_k),  eq. 5, with lambda_vgg L_VGG of the code.

    Trained on pairs of images (label_nc 0 in the authors' code); s is the source. G1, the global generator: s ->
    image, or its last features. G2, the local enhancer: (s, G1's features at half size) -> image. D: s and image side
    by side in the channels -> Features. perceptual: (fake, real) -> L_VGG. Both losses are sums over scales; D's is
    halved.

    With G2, one run has the three phases of section 3.2. In the first `global_iterations` G1 is trained at half size,
    with output layers of its own, against all discriminators but the finest. In the next `fixed_iterations` G2 alone is
    trained, and from then on G1 and G2. Without G2, G1 always works at full size. ValueError for phases without G2, a
    negative number of iterations, or widths of G1 and G2 that do not fit.
    """

    batch_type: ClassVar[type] = Pairs
    sampling_networks: ClassVar[tuple[str, ...]] = ("G1",)
    directions: ClassVar[tuple[str, ...]] = ("AtoB",)
    equal_channels = ""
    carried = ("pooled_fakes",)
    headings: ClassVar[Mapping[str, str]] = {"translated": "G(source)"}

    def __init__(
        self,
        G1: nn.Module,
        D: nn.Module,
        objective: Objective,
        G2: nn.Module | None = None,
        global_iterations: int = 0,
        fixed_iterations: int = 0,
        perceptual: VGGLoss | None = None,
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
    def trains_global_only(self) -> bool:
        """Whether G1 is trained without G2 in this iteration."""
        return not self.enhanced or self.iteration < self.global_iterations

    def trained_networks(self) -> tuple[str, ...]:
        """The networks that G's turn trains in this iteration."""
        if self.trains_global_only:
            return ("G1",)
        fixed = self.iteration < self.global_iterations + self.fixed_iterations
        return ("G2",) if fixed else ("G1", "G2")

    def turns(self) -> list[Turn[Pairs | LabelMaps]]:
        steps = self.objective.steps_at(self.iteration)
        return [
            Turn("G", self.trained_networks(), self.g_loss),
            Turn("D", ("D",), self.d_loss, steps, lambda: self.objective.constrain(self.D)),
        ]

    def g_loss(self, batch: Pairs | LabelMaps) -> Terms:
        source, image = batch
        s = self.condition(source)
        y = self.generate_phase(self.generator_input(s, batch))
        s, x = self.to_phase_size(s), self.to_phase_size(image)
        fake, real = torch.cat([s, y], dim=1), torch.cat([s, x], dim=1)
        self.pooled_fakes = self.pool.query(fake)  # for D's turn of this iteration
        features = self.cached_features(fake, real)
        scores = [self.objective.g_loss(D_k, fake, real)["adversarial"] for D_k in critics(features, fake)]
        terms = {"adversarial": torch.stack(scores).sum()}
        if self.lambda_feature:
            terms["feature"] = self.lambda_feature * feature_matching_l1(features(real), features(fake))
        if self.perceptual is not None:
            terms["vgg"] = self.lambda_vgg * self.perceptual(y, x)
        return terms

    def d_loss(self, batch: Pairs | LabelMaps) -> Terms:
        source, image = batch
        real = torch.cat([self.to_phase_size(self.condition(source)), self.to_phase_size(image)], dim=1)
        features = self.cached_features(real, self.pooled_fakes)
        terms = [self.objective.d_loss(D_k, real, self.pooled_fakes) for D_k in critics(features, real)]
        return {name: torch.stack([term[name] for term in terms]).sum() / 2 for name in terms[0]}

    def cached_features(self, *images: Tensor) -> CachedCritic[Features]:
        """(s, image) -> D's features at the scales of this phase: one forward pass per batch serves all scales."""
        finest_unused = int(self.enhanced and self.trains_global_only)
        return CachedCritic(lambda x: self.D(x, finest_unused), *images)

    def condition(self, source: Tensor) -> Tensor:
        """s, (N, C, H, W), which G and D see."""
        return source

    def generator_input(self, s: Tensor, batch: Pairs | LabelMaps) -> Tensor:
        """What G sees, (N, C, H, W): s."""
        return s

    def to_phase_size(self, image: Tensor) -> Tensor:
        """`image` at half size as long as G1 is trained at half size."""
        return half(image) if self.enhanced and self.trains_global_only else image

    def generate_phase(self, view: Tensor) -> Tensor:
        """The image that this iteration's phase is trained on, from G's input at full size."""
        return self.G1(self.to_phase_size(view)) if self.trains_global_only else self._enhance(view)

    def generate_full(self, view: Tensor) -> Tensor:
        """The image at full size; before G2 has been trained it is G1's own, each pixel doubled in both directions."""
        if not self.enhanced:
            return self.G1(view)
        if self.global_iterations > 0 and self.iteration <= self.global_iterations:
            return self.G1(half(view)).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        return self._enhance(view)

    def _enhance(self, view: Tensor) -> Tensor:
        return self.G2(view, self.G1(half(view), features=True))

    def translate(self, image: Tensor, direction: str = "AtoB") -> Tensor:
        """G(image), (N, C, H, W)."""
        return self.generate_full(image)

    def sample(self, batch: Pairs | LabelMaps) -> dict[str, Tensor]:
        """The source, its translation, and the true target."""
        source, target = batch
        return {"source": source, "translated": self.generate_full(source), "target": target}


def critics(features: CachedCritic[Features], image: Tensor) -> list[Critic]:
    """The discriminators D_k, (s, image) -> scores, one per scale of `features`."""
    return [lambda x, k=k: features(x)[k][-1] for k in range(len(features(image)))]  # type: ignore[misc]
