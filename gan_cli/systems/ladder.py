"""Semi-supervised learning with a ladder network (Rasmus et al. 2015, arXiv 1507.02672): a game for one."""

from typing import Any, ClassVar

from torch import Tensor
from torch.nn.functional import cross_entropy

from gan_cli.data.base import SemiSupervised
from gan_cli.losses.objective import EnergyObjective, Objective
from gan_cli.networks.ladder import Ladder
from gan_cli.systems.base import System, Terms, Turn


class LadderGame(System):
    """min_D  -E log P(y | x + noise) + E D(x),  the first over the labelled images, the second over all of them.

    discriminator: a ladder network; D(x) is its weighted cost of denoising. objective: loss=ebgan, of which a game
    without fakes plays L_D = D(x) alone. ValueError for another loss or network.
    """

    batch_type = SemiSupervised
    sampling_networks: ClassVar[tuple[str, ...]] = ()
    capturable = False  # Ladder.track counts in Python; so does the margin of EBGANLadder

    def __init__(self, discriminator: Ladder, objective: Objective) -> None:
        super().__init__()
        if not isinstance(objective, EnergyObjective):
            raise ValueError("a ladder network has an energy and no score of real or fake: loss=ebgan or ebgan_ladder")
        if not isinstance(discriminator, Ladder):
            raise ValueError(f"{type(discriminator).__name__} is no ladder network, as network=ladder has one")
        self.discriminator, self.objective = discriminator, objective

    def turns(self) -> list[Turn]:
        return [Turn("d", ("discriminator",), self.d_loss)]

    def d_loss(self, batch: SemiSupervised) -> Terms:
        return {**self.class_loss(batch), "reconstruction": self.discriminator.energy(batch.image).mean()}

    def class_loss(self, batch: SemiSupervised) -> Terms:
        """Term "class", by the noisy pass. The statistics of evaluation follow all images, labelled or not."""
        self.discriminator.track(batch.image)
        return {"class": cross_entropy(self.discriminator.noisy(batch.labelled).logits, batch.target)}

    def classify(self, image: Tensor) -> Tensor:
        """argmax_y P(y | x) of the clean pass, (N,) int64."""
        return self.discriminator(image).argmax(dim=1)

    def sample(self, batch: Any) -> dict[str, Tensor]:
        return {"x": batch.image, "denoised": self.discriminator.reconstruct(batch.image)}

    def histograms(self, batch: Any) -> dict[str, Tensor]:
        return {"energy/real": self.discriminator.energy(batch.image)}
