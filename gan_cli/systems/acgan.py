"""AC-GAN (Odena, Olah, Shlens 2017, arXiv 1610.09585): D does not see the class, it has to name it."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gan_cli.data.base import Images
from gan_cli.losses.objective import Objective
from gan_cli.losses.penalties import Critic
from gan_cli.systems.base import Terms
from gan_cli.systems.conditional_gan import ConditionalGAN
from gan_cli.utils.random import normal


class ACGAN(ConditionalGAN):
    """D maximises L_S + L_C and G maximises L_C - L_S (section 3), where L_S is the game of the objective and

        L_C = E log P(C = c | x) + E log P(C = c | G(z, c)).

    generator: z (N, latent_dim), c (N,) int64 -> image; discriminator: image -> (scores (N,), logits (N, num_classes)).
    The fakes take the labels of the batch's real images. lambda_real, lambda_fake: weights of the two halves of L_C
    in D's loss, lambda_G: of the second in G's; WGAN-GP's CIFAR-10 code has 1, 0 and .1. fakes_per_real: see GAN.
    ValueError for a discriminator without such logits.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        objective: Objective,
        num_classes: int | None,
        latent_dim: int = 100,
        noise: Callable[..., Tensor] = normal,
        fakes_per_real: int = 1,
        lambda_real: float = 1.0,
        lambda_fake: float = 1.0,
        lambda_G: float = 1.0,
    ) -> None:
        super().__init__(generator, discriminator, objective, num_classes, latent_dim, noise)
        self.fakes_per_real = fakes_per_real
        self.lambda_real, self.lambda_fake, self.lambda_G = lambda_real, lambda_fake, lambda_G

    def d_loss(self, batch: Images) -> Terms:
        x, c = batch.image, batch.label
        assert c is not None
        fake = self.generate(len(x), c)
        (real_scores, real_logits), (fake_scores, fake_logits) = self.judge(x), self.judge(fake)
        D = self.scorer((x, real_scores), (fake, fake_scores))
        return {
            **self.objective.d_loss(D, x, fake),
            "class_real": self.lambda_real * cross_entropy(real_logits, c),
            "class_fake": self.lambda_fake * cross_entropy(fake_logits, c),
        }

    def g_loss(self, batch: Images) -> Terms:
        assert batch.label is not None
        c = batch.label.repeat(self.fakes_per_real)
        fake = self.generate(len(c), c)
        scores, logits = self.judge(fake)
        return {
            **self.objective.g_loss(self.scorer((fake, scores)), fake, batch.image),
            "class": self.lambda_G * cross_entropy(logits, c),
        }

    def judge(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (N,) and logits (N, num_classes)."""
        K, judgement = self.num_classes, self.discriminator(x)
        if not isinstance(judgement, tuple) or judgement[1].shape[1:] != (K,):
            raise ValueError(f"AC-GAN's discriminator returns scores and {K} logits: network=acgan_dcgan has one")
        return judgement

    def scorer(self, *known: tuple[Tensor, Tensor]) -> Critic:
        """x -> scores; those of `known` images are at hand, so that D looks at them once."""

        def D(x: Tensor) -> Tensor:
            for image, scores in known:
                if x is image:
                    return scores
            return self.judge(x)[0]

        return D

    def classify(self, image: Tensor) -> Tensor:
        """argmax_c P(C = c | x), (N,) int64."""
        return self.judge(image)[1].argmax(dim=1)
