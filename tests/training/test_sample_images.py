"""The images of a run's samples: headings, class names, and the modes that points reach."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from gan_cli.data.base import Domains, Images
from gan_cli.data.gaussians import Gaussians1200, Mixture1d, Ring
from gan_cli.data.point_domains import MixtureDomains
from gan_cli.data.shapes import KINDS, Shapes
from gan_cli.metrics.modes import coverage
from gan_cli.systems.conditional_gan import ConditionalGAN
from gan_cli.systems.cyclegan import CycleGAN
from gan_cli.systems.discogan import DiscoGAN
from gan_cli.systems.gan import GAN
from gan_cli.training import sample_images
from gan_cli.training.sample_images import sample_image
from gan_cli.utils.point_plots import Panel


@pytest.fixture
def panels(monkeypatch: pytest.MonkeyPatch) -> list[Panel]:
    """The plots that would be drawn."""
    drawn: list[Panel] = []

    def keep(given: Sequence[Panel], title: str) -> Tensor:
        drawn.extend(given)
        return torch.zeros(3, 1, 1, dtype=torch.uint8)

    monkeypatch.setattr(sample_images, "point_plots", keep)
    return drawn


def test_the_modes_of_a_plot_are_those_of_the_metric(panels: list[Panel]) -> None:
    ring = Ring()
    batch = ring.test_batch(0, 400)
    generated = ring.train_batch(3, 0, 500).image
    generated = generated[generated[:, 0, 0, 0] > -0.5]
    generated[:100] += 0.2
    sample_image(GAN, ring, batch, {"generated": generated}, "")  # type: ignore[arg-type]
    (panel,) = panels
    values = coverage(generated.flatten(1), ring.modes, ring.std)
    share = f"{100 * values['high_quality']:.1f} % of samples within 3 std"
    assert values["modes"] == 5 and panel.note == f"5 of 8 modes captured, {share}"
    assert panel.radius == pytest.approx(0.03) and panel.missed is not None
    assert panel.missed.tolist() == [bool(x < -0.5) for x in ring.modes[:, 0]] and panel.name == "generated"
    assert torch.equal(panel.data, batch.image.flatten(1)) and torch.equal(panel.samples, generated.flatten(1))


def test_points_of_more_dimensions_and_of_one(panels: list[Panel]) -> None:
    """No circles where the plane does not show distances; the density where it is known."""
    for data in (Gaussians1200(), Mixture1d([0.5, 0.5], [-1, 1], [0.1, 0.1])):
        batch = data.test_batch(0, 50)
        sample_image(GAN, data, batch, {"generated": batch.image + 0.1}, "")  # type: ignore[arg-type]
    many, line = panels
    assert many.name == "generated (2 of 1200 dimensions)" and many.radius == 0 and "within 10 std" in many.note
    x = torch.tensor([[1.0]])
    assert line.modes is None and line.density is not None
    assert line.density(x).item() == pytest.approx(0.5 / (0.1 * (2 * torch.pi) ** 0.5))


def test_translated_points_are_over_the_domain_where_they_end(panels: list[Panel]) -> None:
    data = MixtureDomains()
    x, y = batch = data.test_batch(0, 30)
    named = {"A_to_B": x + 1, "A": x, "A_to_B_to_A": x + 2, "B_to_A": y + 3, "B": y, "B_to_A_to_B": y + 4}
    sample_image(DiscoGAN, data, Domains(*batch), named, "")  # type: ignore[arg-type]
    assert [(panel.name, len(panel.modes)) for panel in panels] == [  # type: ignore[arg-type]
        ("x_AB", 10), ("x_ABA", 5), ("x_BA", 5), ("x_BAB", 10)
    ]  # fmt: skip
    assert [torch.equal(panel.data, y.flatten(1)) for panel in panels] == [True, False, False, True]
    assert panels[0].radius == pytest.approx(3 * data.std)


def test_headings_and_class_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Symbols of the paper over translations; over samples of a conditional model the names of the classes."""
    asked: list[tuple] = []
    monkeypatch.setattr(sample_images, "sample_grid", lambda *arguments: asked.append(arguments) or torch.zeros(1))
    data = Shapes(size=4, image_size=16)
    named = {name: torch.zeros(8, 3, 16, 16) for name in ("A", "A_to_B")}
    for system, shown in ((CycleGAN, named), (ConditionalGAN, {"generated": named["A"]})):
        sample_image(system, data, Images(named["A"]), shown, "title")  # type: ignore[arg-type]
    translated, conditional = asked
    assert translated[2:] == ("title", CycleGAN.headings, []) and CycleGAN.headings["A_to_B_to_A"] == "F(G(x))"
    assert conditional[4] == [*KINDS, *KINDS[:2]]
    assert sample_images.class_names((), 3) == sample_images.class_names(("a",), 3) == ("0", "1", "2")
