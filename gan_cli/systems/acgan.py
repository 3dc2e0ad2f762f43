"""AC-GAN (Odena, Olah, Shlens 2017, arXiv 1610.09585): D does not receive the class, but predicts it."""

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gan_cli.data.base import Images
from gan_cli.losses.critic import CachedCritic
from gan_cli.losses.objective import Objective
from gan_cli.systems.base import Terms
from gan_cli.systems.conditional_gan import ConditionalGAN
from gan_cli.utils.random import Prior, normal


class ACGAN(ConditionalGAN):
    """D maximizes L_S + L_C and G maximizes L_C - L_S (section 3), where L_S is the objective's and

        L_C = E log P(C = c | x) + E log P(C = c | G(z, c)).

    generator: z (N, latent_dim), c (N,) int64 -> image; discriminator: image -> (scores (N,), logits (N, num_classes)).
    The fakes have the labels of the batch's real images. lambda_real, lambda_fake: weights of the two halves of L_C
    in D's loss; lambda_G: weight of the second half in G's loss. fakes_per_real: generated images per real image in G's
    turn. WGAN-GP's CIFAR-10 code has the weights 1, 0 and .1, and 2 fakes. ValueError for a discriminator without such
    logits.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        objective: Objective,
        num_classes: int | None,
        latent_dim: int = 100,
        noise: Prior = normal,
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
        D = CachedCritic(self.judge, x, fake)  # scores and logits come from one forward pass
        return {
            **self.objective.d_loss(lambda image: D(image)[0], x, fake),
            "class_real": self.lambda_real * cross_entropy(D(x)[1], c),
            "class_fake": self.lambda_fake * cross_entropy(D(fake)[1], c),
        }

    def g_loss(self, batch: Images) -> Terms:
        assert batch.label is not None
        c = batch.label.repeat(self.fakes_per_real)
        fake = self.generate(len(c), c)
        D = CachedCritic(self.judge, fake)
        return {
            **self.objective.g_loss(lambda image: D(image)[0], fake, batch.image),
            "class": self.lambda_G * cross_entropy(D(fake)[1], c),
        }

    def judge(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (N,) and logits (N, num_classes)."""
        K, judgement = self.num_classes, self.discriminator(x)
        if not isinstance(judgement, tuple) or judgement[1].shape[1:] != (K,):
            raise ValueError(f"AC-GAN's discriminator returns scores and {K} logits: network=acgan_dcgan has one")
        return judgement

    def classify(self, image: Tensor) -> Tensor:
        """argmax_c P(C = c | x), (N,) int64."""
        return self.judge(image)[1].argmax(dim=1)
