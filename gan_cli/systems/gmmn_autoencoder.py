"""GMMN+AE (Li, Swersky, Zemel 2015, arXiv 1502.02761, section 3): the MMD of an autoencoder's codes."""


from torch import Tensor, nn

from gan_cli.data.base import Images
from gan_cli.losses.objective import Objective
from gan_cli.systems.base import Terms, Turn
from gan_cli.systems.gmmn import GMMN
from gan_cli.utils.random import Prior, uniform


class GMMNAutoencoder(GMMN):
    """Phase 1, the first `pretrain` iterations: the autoencoder is trained on images. Phase 2: min_G MMD(encoder(x),
    G(z)) with the autoencoder fixed.

    encoder: image -> code; decoder: code -> image; generator: z (N, latent_dim) -> code. A sample is decoder(G(z)).
    reconstruction: a loss of (decoder(encoder(x)), x). The encoder's dropout, which makes the decoder robust to small
    changes of the code, is active in phase 1 only. ValueError for a negative `pretrain`.
    """

    sampling_networks = ("generator", "decoder")

    def __init__(
        self,
        generator: nn.Module,
        encoder: nn.Module,
        decoder: nn.Module,
        reconstruction: nn.MSELoss | nn.BCELoss | nn.L1Loss,
        objective: Objective,
        pretrain: int,
        latent_dim: int = 10,
        noise: Prior = uniform,
    ) -> None:
        super().__init__(generator, objective, latent_dim, noise)
        if pretrain < 0:
            raise ValueError(f"pretrain is the number of the autoencoder's iterations, 0 or more, not {pretrain}")
        self.encoder, self.decoder = encoder, decoder
        self.reconstruction = reconstruction.forward  # a network would be trained and saved
        self.pretrain = pretrain

    def turns(self) -> list[Turn[Images]]:
        pretraining = self.iteration < self.pretrain
        self.encoder.train(pretraining)
        if pretraining:
            return [Turn("ae", ("encoder", "decoder"), self.ae_loss)]
        return [Turn("g", ("generator",), self.g_loss)]

    def ae_loss(self, batch: Images) -> Terms:
        x = batch.image
        return {"reconstruction": self.reconstruction(self.decoder(self.encoder(x)), x)}

    def g_loss(self, batch: Images) -> Terms:
        code = self.generator(self.prior(len(batch.image)))
        return {"adversarial": self.mmd.g_loss(code, self.encoder(batch.image))}

    def generate_from(self, z: Tensor) -> Tensor:
        return self.decoder(self.generator(z))
