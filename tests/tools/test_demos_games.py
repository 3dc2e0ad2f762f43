"""Demos of losses in play: a GAN over time, critics, the earth mover, MMD's witness. What theory says of each table."""

import csv
import importlib
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image
from pytest import approx
from scipy.optimize import linprog
from scipy.stats import wasserstein_distance

FEWER = {  # enough for the theory to show; `gan demo` trains for longer
    "gan_over_time": {"STEPS": 250, "SHOWN": (10, 100, 250), "FRAMES": (0, 250)},
    "critics": {"STEPS": 250},
    "mmd_witness": {"N": 300, "REPEATS": 10},
}
Table = dict[str, dict[str, float]]
Read = Callable[..., Table]


def demo(name: str) -> ModuleType:
    return importlib.import_module(f"gan_cli.tools.demos.{name}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demos")


@pytest.fixture(scope="module")
def table(folder: Path) -> Iterator[Read]:
    """name, file -> key of a row -> column -> number, of a run of `FEWER` steps; each demo runs once."""
    patch = pytest.MonkeyPatch()

    def read(name: str, file: str = "") -> Table:
        path = folder / f"{file or name}.csv"
        if not path.exists():
            for constant, value in FEWER.get(name, {}).items():
                patch.setattr(demo(name), constant, value)
            demo(name).run(folder)
            assert Image.open(folder / f"{name}.png").format == "PNG"
            assert (folder / f"{name}.png").stat().st_size < 150_000
        rows = list(csv.reader(path.open()))
        return {row[0]: dict(zip(rows[0][1:], map(float, row[1:]), strict=True)) for row in rows[1:]}

    yield read
    patch.undo()


# -- a GAN over time


def test_gan_over_time(table: Read, folder: Path) -> None:
    rows = list(table("gan_over_time").values())
    for column in ("JS(p, p_g)", "mean |D - 1/2|"):
        assert [row[column] for row in rows] == sorted((row[column] for row in rows), reverse=True), column
    assert rows[0]["JS(p, p_g)"] > 0.1 and rows[0]["mean |D - 1/2|"] > 0.1
    assert rows[-1]["JS(p, p_g)"] < 0.02 and rows[-1]["mean |D - 1/2|"] < 0.02
    assert rows[-1]["V"] == approx(-math.log(4), abs=0.01)
    assert rows[1]["without R1: mean |D - 1/2|"] > 1.3 * rows[1]["mean |D - 1/2|"]
    animation = Image.open(folder / "gan_over_time.gif")
    assert animation.n_frames == 4 and animation.info["loop"] == 0  # steps 0, 10, 100 and 250


def test_the_density_of_the_generator_is_that_of_its_map() -> None:
    """G(z) = 2 + z / 2 for a network of zeros: N(2, 1/4), whose mass lies in the bins around X."""
    module = demo("gan_over_time")
    system = module.GAN(module.Generator(), torch.nn.Flatten(0), module.Objective(module.NonSaturating()), 1)
    for weights in system.generator.parameters():
        torch.nn.init.zeros_(weights)
    moment = module.look(system)
    exact = torch.distributions.Normal(2.0, 0.5).log_prob(module.X).exp()
    assert float(moment.q.sum() * module.DX) == approx(1)
    assert float((moment.q - exact).abs().max()) < 0.01
    even = moment._replace(q=moment.p, a=torch.zeros_like(moment.a))
    assert even.numbers == (0, 0, approx(-math.log(4)))


# -- the non-saturating loss


def test_the_non_saturating_gradient_is_that_of_kl_minus_two_js(table: Read) -> None:
    rows = table("non_saturating")
    for key, row in rows.items():
        theta = float(key)
        assert row["d E[-log D*]"] == approx(row["d(KL - 2 JS)"], abs=1e-6)
        assert [row["KL"], row["dKL"]] == approx([theta**2 / 2, theta])  # of two Gaussians of variance 1
        assert row["d(-2 JS)"] < 0 < row["d(KL - 2 JS)"]
        assert -math.log(4) < row["-2 JS"] < 0
        assert row["KL"] + row["-2 JS"] == approx(row["KL - 2 JS"])
    assert rows["0.25"]["d(-2 JS)"] == approx(-0.25 / 2, rel=0.03)  # near 0 it takes half of the pull


def test_the_value_differs_by_what_the_generator_does_not_change() -> None:
    """E_{p_g} -log D* = KL(p_g||p) - 2 JS + log 4 + E_p log D* at theta_0."""
    module = demo("non_saturating")
    theta, x = 1.5, module.Z
    p, q = (torch.distributions.Normal(m, 1.0).log_prob(x).exp() for m in (0.0, theta))
    log_d = (p / (p + q)).log()
    kl, js2, *_ = module.terms(theta)
    assert float((q * -log_d).sum() * module.DZ) == approx(
        kl + js2 + math.log(4) + float((p * log_d).sum() * module.DZ), abs=1e-9
    )


def test_junk_costs_without_bound_and_a_dropped_mode_nothing(table: Read) -> None:
    rows = table("non_saturating", "non_saturating_penalties")
    junk, dropped = zip(*(row.values() for row in rows.values()), strict=True)
    for e, value, other in zip(map(float, rows), junk, dropped, strict=True):
        assert value == approx(0.1 * math.log(0.1 / e), abs=1e-12)
        assert other == approx(e * math.log(e / 0.1), abs=1e-12)
    assert junk[-1] > 3 and abs(dropped[-1]) < 1e-14


# -- the earth mover


def test_the_plan_moves_p_to_q_at_least_cost(table: Read, folder: Path) -> None:
    module = demo("earth_mover")
    moved, n = module.plan(module.P, module.Q), len(module.P)
    assert torch.allclose(moved.sum(1), module.P) and torch.allclose(moved.sum(0), module.Q) and (moved >= 0).all()
    distances = (module.X[:, None] - module.X).abs()
    sums = torch.cat([torch.eye(n).repeat_interleave(n, 1), torch.eye(n).repeat(1, n)])  # of rows and of columns
    best = linprog(distances.flatten(), A_eq=sums, b_eq=torch.cat([module.P, module.Q]))
    assert module.cost(moved) == approx(best.fun)
    assert module.cost(moved) == approx(wasserstein_distance(module.X, module.X, module.P, module.Q))
    assert module.gap(module.critic(module.P, module.Q)) == approx(best.fun)
    assert module.cost(module.P[:, None] * module.Q) > 1.2 * best.fun
    rows = table("earth_mover")
    assert sum(abs(row["F_P - F_Q"]) for row in rows.values()) == approx(best.fun)
    f = [row["f"] for row in rows.values()]
    assert max(abs(b - a) for a, b in itertools.pairwise(f)) == 1
    _, *moves = csv.reader((folder / "earth_mover_plan.csv").open())
    assert sum(float(mass) * abs(int(start) - int(end)) for start, end, mass in moves) == approx(best.fun)


def test_the_plan_of_a_shift_and_of_two_points() -> None:
    module = demo("earth_mover")
    p, q = torch.eye(8).double()[1], torch.eye(8).double()[6]
    assert module.cost(module.plan(p, q)) == 5 and module.plan(p, q)[1, 6] == 1
    assert module.critic(p, q).tolist() == [0, 0, -1, -2, -3, -4, -5, -5]
    assert module.cost(module.plan(p, p)) == 0 and not module.critic(p, p).any()


# -- critics


def test_critics(table: Read) -> None:
    rows = table("critics")
    sigmoid = rows["sigmoid D (GAN)"]
    assert sigmoid["f(x)"] > 0.99 and sigmoid["f(G(z))"] < 0.01  # separates the points: a step
    assert sigmoid["largest"] < 0.02 < 1 < sigmoid["largest between"]
    assert sigmoid["|dL_G/dx|"] < 0.002 < rows["sigmoid D, loss -log D"]["|dL_G/dx|"]
    tight, wide = (rows[f"weights clipped to {c} (WGAN)"] for c in (0.01, 0.5))
    assert tight["largest between"] < 0.01  # no more than 32^2 c^3 without the slopes of tanh
    assert wide["largest between"] > 10 and wide["least slope at G(z)"] < 1e-3
    penalized = rows["gradient penalty (WGAN-GP)"]
    assert penalized["|dL_G/dx|"] == approx(1 + 4 / 20, abs=0.05)  # the distance is 4, and the penalty's weight 10
    spectral = rows["spectral norm, hinge (SNGAN)"]
    assert spectral["least slope at G(z)"] > 0.2 and spectral["largest between"] < 1.01


@pytest.mark.parametrize("sign", [1, -1])
def test_a_penalized_critic_keeps_its_sign_in_one_dimension(sign: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """4 s - 10 (|s| - 1)^2 has maxima at s = 1 + 4 / 20, and at -(1 - 4 / 20), which prefers the generated points."""
    module = demo("critics")
    monkeypatch.setattr(module, "STEPS", 150)
    with module.random.fork(0):
        critic = module.train(module.METHODS["gradient penalty (WGAN-GP)"], module.Progress(150, "steps"), sign)
    slope = -module.input_gradient(critic, torch.zeros(1, 1).double()).item()  # the real points are on the left
    assert slope == approx(sign + 4 / 20, abs=0.05)


# -- MMD


def test_mmd_witness(table: Read) -> None:
    module = demo("mmd_witness")
    for key, row in table("mmd_witness").items():
        sigma = float(key)
        assert row["mean of estimates"] == approx(row["MMD^2"], abs=4 * row["their std"] / math.sqrt(10)), sigma
        assert row["least w"] < 0 < row["largest w"] < -row["least w"]  # Laplace's peak is the largest difference
    x, probabilities = module.X, [module.density(d) for d in (module.P, module.Q)]
    for power in (1, 2):
        assert [float((p * x**power).sum()) for p in probabilities] == approx([power - 1] * 2, abs=1e-3)


def test_the_witness_of_two_gaussians_is_known() -> None:
    """E_p k(t, x) = s / sqrt(s^2 + v) exp(-(t - m)^2 / (2 (s^2 + v))) for N(m, v) and the RBF of bandwidth s."""
    module = demo("mmd_witness")
    kernel, normal = module.RBF([0.5]), torch.distributions.Normal

    def mean(m: float, v: float, t: torch.Tensor) -> torch.Tensor:
        return 0.5 / math.sqrt(0.25 + v) * (-((t - m) ** 2) / (2 * (0.25 + v))).exp()

    with pytest.MonkeyPatch().context() as context:
        context.setattr(module, "P", normal(torch.tensor(1.0).double(), 1.0))
        context.setattr(module, "Q", normal(torch.tensor(-1.0).double(), 2.0))
        expected = mean(1.0, 1.0, module.X) - mean(-1.0, 4.0, module.X)
        assert torch.allclose(module.exact(kernel), expected, atol=1e-9)
        zero = torch.zeros(()).double()
        mmd2 = mean(0, 2, zero) + mean(0, 8, zero) - 2 * mean(0, 5, zero + 2)
        assert module.squared(kernel) == approx(float(mmd2), abs=1e-9)
