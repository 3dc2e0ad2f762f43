"""Semi-supervised learning with a ladder network (Rasmus et al. 2015, arXiv 1507.02672), without a generator."""

from typing import ClassVar, Literal

from torch import Tensor
from torch.nn.functional import cross_entropy

from gan_cli.data.base import Images, SemiSupervised
from gan_cli.losses.energy import EnergyMargin
from gan_cli.losses.objective import Objective
from gan_cli.networks.ladder import Ladder
from gan_cli.systems.base import System, Terms, Turn


class LadderClassifier(System[SemiSupervised]):
    """min_D  -E log P(y | x + noise) + E D(x),  the first over the labeled images, the second over all of them.

    discriminator: a ladder network; D(x) is its weighted cost of denoising. objective: that of loss=ebgan, of which
    only L_D = D(x) remains without generated images. statistics: of which images `classify` uses the running means and
    deviations: "labeled", as in CuriousAI/ladder (ladder.py:367-383), which normalizes the labeled images of a training
    batch among themselves too, or "all". ValueError for another loss, network or choice of statistics.
    """

    batch_type = SemiSupervised
    sampling_networks: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, discriminator: Ladder, objective: Objective, statistics: Literal["labeled", "all"] = "all"
    ) -> None:
        super().__init__()
        if not isinstance(objective.adversarial, EnergyMargin):
            raise ValueError("a ladder network has an energy and no score of real or fake: loss=ebgan or ebgan_ladder")
        if not isinstance(discriminator, Ladder):
            raise ValueError(f"{type(discriminator).__name__} is no ladder network, as network=ladder has one")
        if statistics not in ("labeled", "all"):
            raise ValueError(f"statistics={statistics}: of the labeled images, or of all")
        self.discriminator, self.objective, self.statistics = discriminator, objective, statistics

    def turns(self) -> list[Turn[SemiSupervised]]:
        return [Turn("d", ("discriminator",), self.d_loss)]

    def d_loss(self, batch: SemiSupervised) -> Terms:
        return {**self.class_loss(batch), "reconstruction": self.discriminator.energy(batch.image).mean()}

    def class_loss(self, batch: SemiSupervised) -> Terms:
        """Term "class", from the noisy pass."""
        if self.statistics == "labeled":
            self.discriminator.track(batch.labeled, correction=1)
        else:
            self.discriminator.track(batch.image)
        return {"class": cross_entropy(self.discriminator.noisy(batch.labeled).logits, batch.target)}

    def classify(self, image: Tensor) -> Tensor:
        """argmax_y P(y | x) of the clean pass, (N,) int64."""
        return self.discriminator(image).argmax(dim=1)

    def sample(self, batch: Images | SemiSupervised) -> dict[str, Tensor]:
        return {"x": batch.image, "denoised": self.discriminator.reconstruct(batch.image)}

    def histograms(self, batch: Images | SemiSupervised) -> dict[str, Tensor]:
        return {"energy/real": self.discriminator.energy(batch.image)}
