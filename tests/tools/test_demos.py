"""`gan demo`: what each table must say by theory, the same numbers each time, and what a mistake gets."""

import csv
import importlib
import math
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from helpers import ROOT
from pytest import approx

from gan_cli.cli import completion, main, parser
from gan_cli.tools import demos

PNG = b"\x89PNG\r\n\x1a\n"
FEWER = {  # enough for the theory to show; `gan demo` trains for longer
    "optimal_discriminator": {"STEPS": 600, "SHOWN": (0, 20, 100, 600)},
    "variational_bound": {"STEPS": 150, "SHOWN": (0, 10, 50, 150)},
    "parallel_masses": {"STEPS": 150, "TEST": 512},
    "mode_seeking": {"STEPS": 150},
    "energy": {"STEPS": {"ring": 200, "shapes": 60}},
    "energy_gradients": {"STEPS": (0, 60)},
}
FEW = {  # runs in an instant
    "optimal_discriminator": {"STEPS": 4, "SHOWN": (0, 2, 3, 4)},
    "variational_bound": {"STEPS": 4, "SHOWN": (0, 2, 3, 4)},
    "parallel_masses": {"STEPS": 3, "TEST": 16},
    "mode_seeking": {"STEPS": 3},
    "energy": {"STEPS": {"ring": 2, "shapes": 2}, "SHOWN": 8},
    "energy_gradients": {"STEPS": (0, 2), "SHOWN": 6},
    "discogan_collapse": {"STEPS": 3, "SEEDS": 2, "SHOWN": 40},
    "gan_over_time": {"STEPS": 3, "SHOWN": (1, 2, 3), "FRAMES": (0,)},
    "critics": {"STEPS": 3},
    "mmd_witness": {"N": 20, "REPEATS": 2},
}
Table = dict[tuple[str, ...], dict[str, float]]


def demo(name: str) -> ModuleType:
    return importlib.import_module(f"gan_cli.tools.demos.{name}")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory):
    """name, key columns -> key of a row -> column -> number, of a run of `FEWER` steps; each demo runs once."""
    folder, patch = tmp_path_factory.mktemp("demos"), pytest.MonkeyPatch()

    def read(name: str, keys: int = 1) -> Table:
        file = folder / f"{name}.csv"
        if not file.exists():
            for constant, value in FEWER.get(name, {}).items():
                patch.setattr(demo(name), constant, value)
            demo(name).run(folder)
            plot = (folder / f"{name}.png").read_bytes()
            assert plot.startswith(PNG) and len(plot) < 150_000
        rows = list(csv.reader(file.open()))
        return {tuple(row[:keys]): dict(zip(rows[0][keys:], map(float, row[keys:]))) for row in rows[1:]}

    yield read
    patch.undo()


# -- what the tables say


def test_generator_losses(table) -> None:
    for (key,), row in table("generator_losses").items():
        d = float(key)
        assert row["J minimax"] == approx(math.log(1 - d)) and row["dJ/da minimax"] == approx(-d)
        assert row["J non-saturating"] == approx(-math.log(d)) and row["dJ/da non-saturating"] == approx(d - 1)
        assert row["J maximum likelihood"] == row["dJ/da maximum likelihood"] == approx(-d / (1 - d))


def test_optimal_discriminator(table) -> None:
    rows = list(table("optimal_discriminator").values())
    bound = rows[0]["-log 4 + 2 JSD"]
    assert all(row["-log 4 + 2 JSD"] == bound and row["V"] < bound for row in rows)
    assert -math.log(4) < bound < 0
    assert rows[-1]["V"] == approx(bound, abs=0.02)
    errors = [row["mean |D - D*|"] for row in rows]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.03


def test_the_best_discriminator_has_the_value_of_the_bound() -> None:
    module = demo("optimal_discriminator")
    p, q = (density.log_prob(module.X).exp() for density in (module.P, module.Q))
    bound = -math.log(4) + 2 * module.jsd(p, q)
    assert module.value((p / (p + q)).logit(), p, q) == approx(bound, abs=1e-9)  # proposition 1 and theorem 1
    assert module.value((p / (p + q)).logit() + 0.1, p, q) < bound
    assert module.jsd(p, p) == 0


def test_divergences(table) -> None:
    rows = table("divergences")
    assert len(rows) == 10
    for row in rows.values():
        assert row["max_u t u - f(u)"] == approx(row["f*(t)"], abs=1e-9)  # the supremum, by brute force
        assert row["2 t - f*(t)"] == approx(row["f(2)"], abs=1e-9)  # the tangent touches at u* = 2
    ln2, ln3 = math.log(2), math.log(3)
    by_hand = {  # f(2) and f'(2), from the formulas of f
        "KL": (2 * ln2, 1 + ln2),
        "reverse KL": (-ln2, -0.5),
        "Pearson chi2": (1, 2),
        "Neyman chi2": (0.5, 0.75),
        "squared Hellinger": (3 - 2 * math.sqrt(2), 1 - math.sqrt(0.5)),
        "Jeffrey": (ln2, 0.5 + ln2),
        "Jensen-Shannon": (5 * ln2 - 3 * ln3, 2 * ln2 - ln3),
        "GAN": (2 * ln2 - 3 * ln3, ln2 - ln3),
        "total variation": (0.5, 0.5),
        "alpha = 1/2": (6 - 4 * math.sqrt(2), 2 - math.sqrt(2)),
    }
    assert {name: (row["f(2)"], row["t = f'(2)"]) for (name,), row in rows.items()} == {
        name: approx(values) for name, values in by_hand.items()
    }


def test_variational_bound(table) -> None:
    rows = table("variational_bound")
    assert len(rows) == 6
    for (name,), row in rows.items():
        bounds = [value for column, value in row.items() if column.startswith("F, ")]
        assert 0 < row["least D_f - F"] < 0.15 * (row["D_f"] - bounds[0]), name
        assert bounds[-1] == max(bounds) < row["D_f"]
    assert rows["GAN",]["D_f"] == approx(rows["Jensen-Shannon",]["D_f"] - math.log(4), abs=1e-9)
    assert rows["GAN",]["least D_f - F"] == approx(rows["Jensen-Shannon",]["least D_f - F"], abs=1e-6)


def test_the_bound_is_tight_for_the_best_t() -> None:
    module = demo("variational_bound")
    p, q = (density.log_prob(module.X).exp() * module.DX for density in (module.P, module.Q))
    p, q = p / p.sum(), q / q.sum()
    score = (p / q).log()
    truth = float((p * score).sum())
    assert float(module.bound(module.KL(), 1 + score, p, q)) == approx(truth, abs=1e-9)  # KL: T* = 1 + log(p / q)
    assert float(module.bound(module.KL(), 1.1 + score, p, q)) < truth
    assert float(module.bound(module.GANDivergence(), score, p, q)) == approx(  # D* = sigmoid(log(p / q))
        float((p * (p / (p + q)).log() + q * (q / (p + q)).log()).sum()), abs=1e-9
    )


def test_parallel_masses(table) -> None:
    rows = {float(theta): row for (theta,), row in table("parallel_masses").items()}
    assert list(rows) == [0, 0.25, 0.5, 1, 2]
    for theta, row in rows.items():
        assert row["W = |theta|"] == theta
        assert row["W of the critic"] == approx(theta, rel=0.06, abs=0.01)
        assert row["W of the critic"] == approx(row["critic's gap"] / row["its slope"])
        # the penalised critic's slope s maximises s theta - 10 (s - 1)^2
        assert row["critic's gap"] == approx(theta * (1 + theta / 20), rel=0.05, abs=0.01)
        assert row["JS"] == approx(math.log(2) if theta else 0)
        assert row["KL"] == (math.inf if theta else 0)
        assert row["JS of D"] == approx(row["JS"], abs=0.005)


def test_mode_seeking(table) -> None:
    rows = table("mode_seeking", keys=2)
    mean = {"0.6": -0.4, "0.7": -0.8}
    for weight, mu in mean.items():
        fits = {name: row for (w, name), row in rows.items() if w == weight}
        for name in fits:  # no other fit is better by the divergence it was fitted by
            assert fits[name][name] == min(row[name] for row in fits.values())
        # KL matches the moments: variance = sigma^2 + E of the squared means - mu^2
        assert fits["KL"]["mu"] == approx(mu, abs=1e-3)
        assert fits["KL"]["sigma"] == approx(math.sqrt(0.49 + 4 - mu**2), abs=1e-3)
        # reverse KL takes the heavier mode, and pays the logarithm of its weight for it
        assert fits["reverse KL"]["mu"] == approx(-2, abs=0.03) and fits["reverse KL"]["sigma"] == approx(0.7, abs=0.03)
        assert fits["reverse KL"]["reverse KL"] == approx(-math.log(float(weight)), abs=0.01)
    assert rows["0.6", "Jensen-Shannon"]["sigma"] > 2 and rows["0.7", "Jensen-Shannon"]["sigma"] < 0.8


def test_energy(table) -> None:
    rows = {name: row for (name,), row in table("energy").items()}
    assert set(rows) == {"ring", "shapes"}
    for name, row in rows.items():
        off = [value for column, value in row.items() if column.startswith("D(x + ")]
        assert off == sorted(off) and off[-1] > 1.3 * row["D(x)"], name
        assert off[-1] > 1.3 * row["margin m"], name
        assert 0 < row["V / m"] < 2


def test_wells_are_counted() -> None:
    """With D(x) = the distance from (1, 0) and samples at that mode, there is one well of eight, and it has samples."""
    import torch

    from gan_cli.data.gaussians import Ring

    class Toy:
        def discriminator(self, x: torch.Tensor) -> torch.Tensor:
            return -(x.flatten(1) - torch.tensor([1.0, 0.0])).norm(dim=1)

        def generate(self, n: int) -> torch.Tensor:
            return torch.tensor([1.0, 0.0]).expand(n, 2)[:, :, None, None]

    assert demo("energy").wells(Toy(), Ring()) == "the energy has a well at 1 of 8 modes, samples lie in 1"
    Toy.generate = lambda self, n: torch.tensor([-1.0, 0.0]).expand(n, 2)[:, :, None, None]  # type: ignore[method-assign]
    assert demo("energy").wells(Toy(), Ring()) == "the energy has a well at 1 of 8 modes, samples lie in 0"


def test_energy_gradients(table) -> None:
    rows = table("energy_gradients", keys=2)
    assert len(rows) == 4
    for (name, step), row in rows.items():
        assert 1 <= row["directions"] < 60
        if name == "autoencoder":
            assert row["mean |cos|"] < rows["logistic", step]["mean |cos|"] - 0.05


def test_gradients_of_samples() -> None:
    """Their mean is the gradient of the batch's loss; orthogonal gradients have N directions, equal ones 1."""
    import torch

    from gan_cli.losses.adversarial import NonSaturating
    from gan_cli.networks.ebgan import GridDiscriminator

    torch.manual_seed(0)
    D, x, module = GridDiscriminator(4, 1, size=3).double(), torch.rand(5, 1, 4, 4).double(), demo("energy_gradients")
    gradients = module.per_sample(D, NonSaturating(), x)
    score = D(x)
    NonSaturating().d_loss(score, torch.zeros_like(score)).backward()
    together = torch.cat([parameter.grad.flatten() for parameter in D.parameters()])
    assert gradients.shape == (5, len(together)) and torch.allclose(gradients.mean(0), together)
    labels = torch.tensor([0, 0, 1, 1])
    assert module.statistics(torch.eye(4), labels) == [0, 0, 0, 4]
    cosine = torch.tensor([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, -1], [0, 0, -1, 1]])
    assert module.statistics(cosine, labels) == approx([1 / 3, 1, 0, 2])


def test_discogan_collapse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = demo("discogan_collapse")
    monkeypatch.setattr(module, "STEPS", 120)
    monkeypatch.setattr(module, "SEEDS", 3)
    module.run(tmp_path)
    rows = list(csv.DictReader((tmp_path / "discogan_collapse.csv").open()))
    hit = [float(row["modes of B hit"]) for row in rows]
    assert hit[2] > max(hit[:2])
    # The claim about shared modes needs the full length, for which test_demo_pages.py compares the page's numbers.
    page = (ROOT / "docs/DEMOS.md").read_text()
    found = [re.search(rf"^{row['model']} +[\d.]+ +([\d.]+) ", page, re.MULTILINE) for row in rows]
    gan, one_way, both = (float(match[1]) for match in found if match)
    assert gan > one_way > both


@pytest.mark.parametrize("variant", ["gan", "recongan", "discogan"])
def test_all_seeds_at_once_are_trained_as_by_the_trainer(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from gan_cli.config.composer import Composer, arguments
    from gan_cli.tools.demos._common import in_float64
    from gan_cli.training import build
    from gan_cli.utils import random

    module = demo("discogan_collapse")
    for constant, value in {"STEPS": 4, "SEEDS": 2, "SHOWN": 5}.items():
        monkeypatch.setattr(module, constant, value)
    data, found = module.train(variant)
    for seed in (0, 1):
        overrides = ["experiment=discogan_toy", f"seed={seed}", "trainer.device=cpu"]
        if variant != "gan":
            overrides += [f"model={variant}", f"network={variant}_toy", "model.rate.length=0"]
        cfg = Composer(arguments(overrides)).compose(overrides)
        with random.fork(seed):
            system = in_float64(build.system(cfg))
            trainer = build.trainer(cfg, system, data)
            for _ in range(4):
                trainer.iterate()
        expected = system.translate(data.test_batch(0, 5).x).flatten(1)
        assert (found[seed] - expected).abs().max() < 1e-9


def test_directions_are_random_and_of_length_one() -> None:
    """With D(x) = |x| and every x at the origin, the energy at distance r is r; R is 0 there, so one x stands apart."""
    import torch

    from gan_cli.losses.energy import EnergyMargin
    from gan_cli.losses.objective import Objective
    from gan_cli.networks.ebgan import AutoEncoder
    from gan_cli.systems.ebgan import EBGAN

    class Norm(AutoEncoder):
        encode, decode = torch.nn.Identity(), torch.zeros_like

    system = EBGAN(torch.nn.Flatten(), Norm(), Objective(EnergyMargin()), latent_dim=5)
    system.register_parameter("somewhere", torch.nn.Parameter(torch.zeros(())))
    x = torch.zeros(4, 5)
    x[3, 0] = 6.0
    with torch.no_grad():
        found = demo("energy").survey(system, x, 1.0)
    assert found.real.tolist() == [0, 0, 0, 6]
    assert [found.R, found.r[-1].item()] == approx([3, 1.2 * 3])
    assert torch.allclose(found.off[:, :3], found.r[:, None].expand(-1, 3), atol=1e-5)
    assert ((found.off[:, 3] - 6).abs() <= found.r + 1e-5).all() and (found.off[:, 3] - 6).abs().max() > 0


@pytest.mark.parametrize("name", FEW)
def test_twice_the_same_numbers(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for constant, value in FEW[name].items():
        monkeypatch.setattr(demo(name), constant, value)
    monkeypatch.setattr(demo(name), "plot", lambda *_: None)
    tables = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        tables.append((demo(name).run(folder), (folder / f"{name}.csv").read_bytes()))
    assert tables[0] == tables[1]


def test_a_table_has_four_digits_and_its_csv_all(tmp_path: Path) -> None:
    text = demo("_common").write_table(tmp_path / "t.csv", ["name", "x"], [["a", 1 / 3], ["long", math.inf]])
    assert text == "name       x\na     0.3333\nlong     inf"
    assert (tmp_path / "t.csv").read_text() == "name,x\na,0.3333333333333333\nlong,inf\n"


# -- the verb


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["demo"]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = dict(line.split(maxsplit=1) for line in lines[: lines.index("")])
    assert {"generator_losses", "optimal_discriminator", "divergences", "variational_bound"} <= set(found)
    assert {"parallel_masses", "mode_seeking"} <= set(found) and "_common" not in found
    assert found == {name: demo(name).TITLE for name in found}


def test_the_list_and_the_help_import_nothing_heavy() -> None:
    code = (
        "import sys\nfrom gan_cli.cli import completion, main\n"
        "main.main(['demo']), main.main(['demo', '--help']), completion.candidates('gan demo ')\n"
        "assert not {'torch', 'matplotlib', 'numpy', 'hydra'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "  demo " in parser.general_help()


def test_a_demo_prints_its_table_and_the_path_of_its_image(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main.main(["demo", "generator_losses"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(demo("generator_losses").TITLE) and "\nD(G(z))  " in out
    assert out.endswith("plot and table in outputs/demo/generator_losses\n")
    made = {file.name for file in (tmp_path / "outputs/demo/generator_losses").iterdir()}
    assert made == {"generator_losses.csv", "generator_losses.png"}
    assert main.main(["demo", "generator_losses", "out=here/there"]) == 0
    assert {file.name for file in (tmp_path / "here/there").iterdir()} == made


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("generator_loses", "no demo 'generator_loses'; did you mean 'generator_losses'?"),
        ("_common", "no demo '_common'"),
        ("out=x", "the name of the demo comes first: gan demo NAME out=x"),
        ("generator_losses divergences", "'divergences' is not of the form key=value"),
        ("generator_losses ouT=x", "gan demo has no option 'ouT'; did you mean 'out'?"),
        ("generator_losses out=", "out has no value"),
        ("generator_losses out=file", "cannot make or write file: File exists; name a writable folder with out=..."),
        ("generator_losses out=file/below", "cannot make or write file/below: Not a directory; name a writable folder"),
    ],
)
def test_mistakes(words: str, message: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert main.main(["demo", *words.split()]) == 2
    out, err = capsys.readouterr()
    assert message in err and len(err.splitlines()) == 1 and not out
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_completion() -> None:
    assert completion.candidates("gan dem") == ["demo "]
    assert completion.candidates("gan demo ") == [f"{name} " for name in demos.names()]
    assert completion.candidates("gan demo mode") == ["mode_seeking "]
    assert completion.candidates("gan demo mode_seeking ") == ["out="]


def test_every_demo_is_on_the_page() -> None:
    docs = ROOT / "docs"
    page = (docs / "DEMOS.md").read_text()
    for name in demos.names():
        assert f"`gan demo {name}`" in page and f"demos/{name}.png" in page, name
        assert (docs / f"demos/{name}.png").stat().st_size < 150_000


def test_the_help_promises_no_seconds_for_all_demos(capsys: pytest.CaptureFixture[str]) -> None:
    """`gaussian` takes more than a minute."""
    assert main.main(["demo", "--help"]) == 0
    assert "in seconds or minutes on a CPU" in capsys.readouterr().out
