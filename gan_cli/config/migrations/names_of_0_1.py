"""Names of version 0.1 that have others in version 0.2, as plain data."""

MODULES = {
    "data.cache": "data.decoded_cache",
    "data.derived": "data.derived_pairs",
    "data.domains": "data.point_domains",
    "data.drawn": "data.lazy_images",
    "data.images": "data.image_files",
    "data.lab": "data.lab_color",
    "data.labelmaps": "data.label_maps",
    "data.labels": "data.few_labels",
    "data.mirror": "data.url_cache",
    "data.shards": "data.tar_shards",
    "data.stacked": "data.stacked_mnist",
    "data.standard": "data.mnist_cifar",
    "data.streams": "data.webdataset",
    "data.tables": "data.huggingface",
    "data.toy": "data.gaussians",
    "data.unpaired": "data.discogan_domains",
    "divergences": "losses.divergences",
    "draw": "utils.random",
    "kernels": "losses.kernels",
    "losses": "losses.adversarial",
    "metrics.bins": "metrics.ndb",
    "metrics.codes": "metrics.code_error",
    "metrics.decision": "metrics.discriminator_accuracy",
    "metrics.error": "metrics.classification_error",
    "metrics.features": "metrics.feature_checks",
    "metrics.frechet": "metrics.fid",
    "metrics.kernel": "metrics.kid",
    "metrics.labels": "metrics.conditional",
    "metrics.memory": "metrics.memorization",
    "metrics.neighbours": "metrics.nearest_neighbors",
    "metrics.stacked": "metrics.stacked_modes",
    "metrics.store": "metrics.feature_cache",
    "metrics.translation": "metrics.paired_translation",
    "mmd": "losses.mmd",
    "objective": "losses.objective",
    "penalties": "losses.penalties",
    "pool": "systems.image_pool",
    "regularizers": "losses.regularizers",
    "schedules": "training.schedules",
    "systems.single_step": "systems.fgan_single_step",
    "systems.sums": "systems.terms",
}
"""Module of version 0.1 -> module today, both below gan_cli."""

CLASSES = {
    "data.lab.Colours": "data.lab_color.LabToRGB",
    "data.toy.Grid": "data.gaussians.GaussianGrid",
    "divergences.FGAN": "losses.fgan.FGAN",
    "divergences.GAN": "losses.divergences.GANDivergence",
    "kernels.Sum": "losses.kernels.SumKernel",
    "losses.EnergyMargin": "losses.energy.EnergyMargin",
    "losses.LossSensitive": "losses.margin.LossSensitive",
    "metrics.bins.Bins": "metrics.ndb.StatisticallyDifferentBins",
    "metrics.decision.Decision": "metrics.discriminator_accuracy.DiscriminatorAccuracy",
    "metrics.frechet.FrechetDistance": "metrics.fid.FrechetInceptionDistance",
    "metrics.kernel.KernelDistance": "metrics.kid.KernelInceptionDistance",
    "metrics.kernel.MMD": "metrics.kid.MMDMetric",
    "metrics.labels.OneNearestNeighbour": "metrics.conditional.OneNearestNeighborError",
    "metrics.memory.NearestTraining": "metrics.memorization.Memorization",
    "metrics.modes.Modes": "metrics.modes.ModeCoverage",
    "metrics.neighbours.NearestNeighbourTest": "metrics.nearest_neighbors.OneNearestNeighborTest",
    "metrics.translation.PartnerL1": "metrics.paired_translation.PairedTranslation",
    "networks.discogan.PointTranslator": "networks.discogan.PointGenerator",
    "networks.discogan.Translator": "networks.discogan.DiscoGANGenerator",
    "networks.drit.Concatenating": "networks.drit.ConcatenatingGenerator",
    "networks.drit.Content": "networks.drit.ContentEncoder",
    "networks.drit.ContentCritic": "networks.drit.ContentDiscriminator",
    "networks.drit.Critics": "networks.drit.Discriminator",
    "networks.drit.DeterministicAttribute": "networks.drit.DeterministicAttributeEncoder",
    "networks.drit.FeatureWise": "networks.drit.FeatureWiseGenerator",
    "networks.drit.VariationalAttribute": "networks.drit.VariationalAttributeEncoder",
    "networks.ebgan.ToyAutoEncoder": "networks.ebgan.PointAutoEncoder",
    "networks.features.ToyFeatures": "networks.features.PointFeatures",
    "networks.mlp.ToyDiscriminator": "networks.mlp.PointDiscriminator",
    "networks.mlp.ToyGenerator": "networks.mlp.PointGenerator",
    "networks.multiscale.PairCritics": "networks.multiscale.MultiScalePairDiscriminator",
    "networks.resnet.Translator": "networks.resnet.ResNetGenerator",
    "networks.sngan.ToyDiscriminator": "networks.sngan.PointDiscriminator",
    "networks.unet_noise.UNet": "networks.unet_noise.NoiseUNet",
    "objective.EnergyObjective": "losses.objective.Objective",
    "objective.L1Margin": "losses.margin.L1Margin",
    "objective.LinearMargin": "losses.energy.LinearMargin",
    "objective.MarginObjective": "losses.margin.MarginObjective",
    "objective.TwoSampleObjective": "losses.objective.Objective",
    "penalties.Sum": "losses.penalties.SumPenalty",
    "systems.ladder.LadderGame": "systems.ladder.LadderClassifier",
}
"""Classes and functions of version 0.1 that have another name today, both below gan_cli."""

CHOICES = {
    "loss": {"cyclegan": "least_squares_unscaled", "dualgan": "wgan_3_steps", "dualgan_gp": "wgan_gp_1_step"},
    "metric": {
        "codes": "infogan_codes",
        "decision": "discriminator_accuracy",
        "error": "classification_error",
        "iprime": "modified_is",
        "memorisation": "memorization",
        "partner": "paired",
    },
    "network": {
        "toy": "mlp_points",
        "toy_energy": "mlp_points_autoencoder",
        "toy_features": "mlp_points_features",
        "toy_spectral": "mlp_points_sn",
    },
    "optimizer": {"adam_gmmn": "adam_mlp", "adam_toy": "adam_mlp"},
    "hydra/launcher": {"slots": "local"},
    "hydra/sweeper": {"cells": "grid"},
}
"""Config group -> file of version 0.1 -> file today."""

KEYS = {
    "trainer.best_by": "trainer.best_metric",
    "trainer.momentum": "trainer.momentum_schedule",
    "trainer.cpu_kernels": "trainer.cpu_fast_paths",
    "model.one_fake": "model.share_fakes",
    "sweep.draw": "sweep.sample",
    "sweep.slots": "sweep.workers",
}
"""Keys that have another name today."""

GONE = ("trainer.cuda_graphs",)
"""Keys without a successor."""

STATE = {"bank.seen": "bank.counts"}
"""Keys of the system's state in a checkpoint that have another name today."""

DIRECTIONS = {"x2y": "AtoB", "y2x": "BtoA"}
"""Directions of a translation, by themselves and at the end of the names of metrics' values."""

LATER = {
    "keep_every": 0,
    "evaluate_every": 1000,
    "evaluate_count": 5000,
    "best_metric": None,
    "momentum_schedule": None,
    "cpu_fast_paths": True,
    "prefetch": None,
    "channels_last": False,
    "compile": False,
}
"""Keys of the trainer that the first runs of version 0.1 did not write, with the values that they had."""
