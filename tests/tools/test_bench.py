"""`gan bench`: protocol, check of gradients, adapters of baselines against small stand-ins, operations, tables."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from gan_cli.cli.main import main
from gan_cli.tools.bench import bench, data, flops, report, scaling, startup, step, variant
from gan_cli.tools.bench.baseline import Baseline
from gan_cli.tools.bench.baselines import find
from gan_cli.tools.bench.pytorch_cyclegan import CycleGANBaseline
from gan_cli.tools.bench.workload import OwnTrainer, Workload, error, gradients
from gan_cli.utils.errors import GanError

DCGAN = [
    "model=dcgan", "dataset.image_size=8", "trainer.batch_size=4", "model.latent_dim=6",
    "model.generator.width=4", "model.discriminator.width=4", "trainer.device=cpu",
]  # fmt: skip
MLP = ["model=wgan_gp", "network=mlp", "dataset.image_size=8", "dataset.channels=1", "trainer.batch_size=4"]
MLP += ["model.latent_dim=5", "loss.critic_steps=2", "trainer.device=cpu"]

DCGAN_SCRIPT = """
raise RuntimeError("the script itself must not run")

class Generator(nn.Module):
    def __init__(self, ngpu):
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(nz, ngf, 4, 1, 0, bias=False), nn.BatchNorm2d(ngf), nn.ReLU(True),
            nn.ConvTranspose2d(ngf, nc, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, z):
        return self.main(z)

class Discriminator(nn.Module):
    def __init__(self, ngpu):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(nc, ndf, 4, 2, 1, bias=False), nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(ndf, 1, 4, 1, 0, bias=False), nn.Sigmoid())

    def forward(self, x):
        return self.main(x).view(-1)
"""
WGAN_GP_SCRIPT = """
class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(nn.Linear(opt.latent_dim, 16), nn.ReLU(), nn.Linear(16, int(np.prod(img_shape))))

    def forward(self, z):
        return self.model(z).view(len(z), *img_shape)

class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(nn.Linear(int(np.prod(img_shape)), 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))

    def forward(self, x):
        return self.model(x.view(len(x), -1))

def compute_gradient_penalty(D, real, fake):
    alpha = Tensor(np.random.random((real.size(0), 1, 1, 1)))
    x = (alpha * real + (1 - alpha) * fake).requires_grad_(True)
    ones = Variable(Tensor(len(x), 1).fill_(1.0), requires_grad=False)
    slope = autograd.grad(outputs=D(x), inputs=x, grad_outputs=ones, create_graph=True)[0]
    return ((slope.view(len(x), -1).norm(2, dim=1) - 1) ** 2).mean()
"""

CYCLEGAN_SCRIPT = """
from gan_cli.networks.patchgan import Discriminator
from gan_cli.networks.resnet import ResNetGenerator

class CycleGANModel:
    def __init__(self, options):
        self.options, self.optimizers, self.inputs = options, [], []
        blocks = int(options.netG.removeprefix("resnet_").removesuffix("blocks"))
        self.netG_A, self.netG_B = (ResNetGenerator(16, 3, width=options.ngf, blocks=blocks) for _ in "AB")
        self.netD_A, self.netD_B = (Discriminator(16, 3, options.ndf, options.n_layers_D) for _ in "AB")

    def set_input(self, inputs):
        self.inputs.append(inputs)

    def optimize_parameters(self):
        self.inputs.append("optimized")
"""


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """A checkout like pytorch/examples, with the definitions alone."""
    return _checkout(tmp_path / "examples", "dcgan/main.py", DCGAN_SCRIPT.replace("SLOPE", "0.2"))


def _checkout(root: Path, name: str, text: str) -> Path:
    (root / name).parent.mkdir(parents=True)
    (root / name).write_text(text)
    return root


def job(words: list[str], baseline: Path | str | None = None, **more: Any) -> variant.Job:
    return variant.Job(words, str(baseline) if baseline else None, **more)


ALL = ["plain", "default", "baseline"]


def test_dcgan_adapter_trains_the_same_model(examples: Path) -> None:
    """With the same weights, images and noise, the gradients agree; with another slope of the LeakyReLU they do not."""
    errors = variant.check(job(DCGAN, examples, check=ALL))
    assert set(errors) == {"discriminator", "generator"} and 0 < errors["generator"]["baseline"] < 1e-5
    assert 0 < errors["discriminator"]["baseline"] < 1e-5
    (examples / "dcgan/main.py").write_text(DCGAN_SCRIPT.replace("SLOPE", "0.3"))
    other = variant.check(job(DCGAN, examples, check=ALL))
    correct, problems = step._judge(["default", "plain", "baseline", "baseline+malloc"], other)
    assert correct == ["default", "plain"] and len(problems) == 1 and "baseline: its gradient of " in problems[0]


def test_wgan_gp_adapter_trains_the_same_model(tmp_path: Path) -> None:
    """The workload gets the baseline's networks; with the same noise and interpolates, two critic steps agree."""
    root = _checkout(tmp_path / "gan", "implementations/wgan_gp/wgan_gp.py", WGAN_GP_SCRIPT)
    errors = variant.check(job(MLP, root, check=ALL))
    assert 0 < errors["discriminator"]["baseline"] < 1e-5 and errors["discriminator"]["default"] < 1e-5
    workload = Workload(MLP)
    baseline = find(str(root), workload)()
    generator = workload.system.generator
    assert isinstance(generator, nn.Module) and "model.0.weight" in generator.state_dict()
    assert sorted(gradients(baseline)) == ["discriminator/1", "discriminator/2", "generator/1"]


def test_cyclegan_adapter_builds_the_same_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its G_A is G and its D_A is D_Y; options, weights and inputs are those of the workload."""
    words = ["model=cyclegan", "dataset.image_size=16", "trainer.device=cpu", "model.lambda_identity=0.5"]
    words += [f"model.{name}.width=2" for name in ("G", "F", "D_X", "D_Y")] + ["model.G.blocks=2", "model.F.blocks=2"]
    words += ["model.D_X.n_layers=1", "model.D_Y.n_layers=1"]
    root = _checkout(tmp_path / "cyclegan", "models/cycle_gan_model.py", CYCLEGAN_SCRIPT)
    for module in ("models", "models.cycle_gan_model"):
        monkeypatch.setitem(sys.modules, module, None)  # restored, that is removed, after the test
        del sys.modules[module]
    baseline, workload = variant.build(job(words, root, variant="baseline"))
    assert isinstance(baseline, CycleGANBaseline)
    for name, network in {"G": "netG_A", "F": "netG_B", "D_Y": "netD_A", "D_X": "netD_B"}.items():
        theirs, weights = getattr(baseline.model, network), workload.system.get_submodule(name).parameters()
        assert all(torch.equal(a, b) for a, b in zip(theirs.parameters(), weights, strict=True))
    options = baseline.model.options
    assert (options.pool_size, options.lambda_A, options.lambda_B, options.lambda_identity) == (50, 10, 10, 0.5)
    baseline.step()
    inputs, step_ = baseline.model.inputs
    assert torch.equal(inputs["A"], workload.batch[0]) and torch.equal(inputs["B"], workload.batch[1])
    assert step_ == "optimized"


def test_bare_loop_trains_the_same_model() -> None:
    errors = variant.check(job(DCGAN, "bare", check=ALL))
    assert all(row["baseline"] <= 3 * row["plain"] + 1e-7 for row in errors.values()) and "generator" in errors


def test_baselines_train_on_batches_of_their_own_loaders(examples: Path, tmp_path: Path) -> None:
    """An image folder with one class: each step takes another batch. The bare loop takes the workload's, in order."""
    Path(tmp_path, "faces/all").mkdir(parents=True)
    for number in range(8):
        Image.new("RGB", (12, 10), (30 * number, 0, 0)).save(tmp_path / f"faces/all/{number}.png")
    words = [*DCGAN, "dataset=image_folder", f"dataset.root={tmp_path / 'faces'}", "dataset.image_size=8"]
    baseline, workload = variant.build(job(words, examples, variant="baseline", stream=True))
    assert isinstance(baseline, Baseline) and baseline.batches is not None
    one, two, three = (next(baseline.batches)[0] for _ in range(3))
    reds = sorted(torch.cat([one, two])[:, 0, 0, 0].tolist())  # an epoch: every image once
    assert reds == pytest.approx([60 * n / 255 - 1 for n in range(8)], abs=0.01) and three.shape == (4, 3, 8, 8)
    baseline.step()
    bare, workload = variant.build(job(DCGAN, "bare", variant="baseline", stream=True))
    assert isinstance(bare, Baseline) and bare.batches is not None
    next(bare.batches)
    assert torch.equal(next(bare.batches)[0], workload.data.train_batch(0, 4, 4)[0])
    bare.step()
    errors = variant.check(job(words, examples, check=["plain", "baseline"], stream=True))
    assert errors["discriminator"]["baseline"] < 1e-5  # on one batch all the same
    fixed, _ = variant.build(job(DCGAN, examples, variant="baseline"))
    assert isinstance(fixed, Baseline) and fixed.batches is None
    with pytest.raises(GanError, match="needs baseline=PATH"):
        variant.build(job(DCGAN, variant="baseline"))


def test_start_of_another_command() -> None:
    command = f"{sys.executable} -c \"import time; print('a'); time.sleep(.2); print('first done'); time.sleep(60)\""
    times = startup._start_other(command, "first")
    assert 0.2 < times["first_iteration"] < 30 and times["peak_mb"] > 1
    with pytest.raises(GanError, match="ended without 'second'; its last line: a"):
        startup._start_other(f"{sys.executable} -c \"print('a')\"", "second")
    with pytest.raises(GanError, match="versus=/no/such"):
        startup._start_other("/no/such", "x")
    with pytest.raises(GanError, match="go together"):
        startup.measure([], Path(), repeats=1, versus="x", ready_text=None)


def test_start_is_timed_in_order() -> None:
    """A real process: the command line is loaded first, then the trainer, then an iteration is done."""
    times = startup._start(DCGAN)
    assert 0 < times["cli"] < times["trainer"] < times["first_iteration"] and times["peak_mb"] > 50
    with pytest.raises(GanError, match="did not finish its first iteration; no model 'dcgam'"):
        startup._start(["model=dcgam"])


def test_weights_do_not_change_and_the_errors_of_gradients_by_hand() -> None:
    workload = Workload(DCGAN)
    training = OwnTrainer(workload)
    before = {name: value.clone() for name, value in training.trainer.system.named_parameters()}
    steps = gradients(training)
    assert sorted(steps) == ["discriminator/1", "generator/1"]
    assert all(torch.equal(value, before[name]) for name, value in training.trainer.system.named_parameters())
    assert all(float(g.norm()) > 0 for step_ in steps.values() for g in step_)
    training.step()
    changed = [n for n, value in training.trainer.system.named_parameters() if not torch.equal(value, before[n])]
    assert len(changed) == len(before)
    one = [torch.tensor([3.0, 0.0]), torch.tensor([4.0])]
    assert error([torch.tensor([3.0, 0.3]), torch.tensor([4.4])], one) == pytest.approx(0.1)  # .5 / 5


def test_a_wrong_fast_path_is_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gradient that is 1 % off."""

    def wrong(network: nn.Module) -> nn.Module:
        for parameter in network.parameters():
            parameter.register_hook(lambda gradient: 1.01 * gradient)
        return network

    monkeypatch.setattr("gan_cli.training.cpu_fast_paths.install", wrong)
    errors = variant.check(job(DCGAN, check=["default", "plain"]))
    assert errors["discriminator"]["default"] == pytest.approx(0.01, rel=0.01)
    correct, problems = step._judge(["default", "default+malloc", "plain"], errors)
    assert correct == ["plain"] and "at most 3 times" in problems[0]


def test_variants_take_turns_in_reversed_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The real protocol with children that count; the ratio is the median of ratios, not the ratio of medians."""
    log: list[str] = []
    seconds = {"default": iter([0.5, 1.0, 2.0, 4.0]), "plain": iter([0.5, 3.0, 2.0, 4.0])}

    class Counting:
        def __init__(self, job: variant.Job, environment: dict[str, str] | None = None) -> None:
            self.job = job

        def __enter__(self) -> "Counting":
            return self

        def __exit__(self, *_: object) -> None: ...

        def receive(self) -> dict[str, Any]:
            return {"check": {"D": {"default": 2e-3, "plain": 1e-3}}} if self.job.check else {}

        def step(self, iterations: int) -> float:
            log.append(self.job.variant)
            return next(seconds[self.job.variant])

        def peak(self) -> float:
            return 100.0

    monkeypatch.setattr(step, "Child", Counting)
    step.measure(
        ["model=dcgan"], tmp_path, baseline=None, repeats=3, variants=["default", "plain"], gradient_checks=1,
        threads=None,
    )  # fmt: skip
    assert log == ["default", "plain", "default", "plain", "plain", "default", "default", "plain"]
    records = [json.loads(line) for line in (tmp_path / "step.jsonl").read_text().splitlines()]
    assert [r["variant"] for r in records] == ["default", "plain"]
    assert records[0]["seconds"] == [1.0, 2.0, 4.0] and records[0]["noisy"] and records[0]["median"] == 2.0
    assert records[0]["ratio"] == 1.0  # of 3, 1 and 1
    assert "| default | 2 | 1 | 4 | 1 | 100 | 2 | noisy: do not quote |" in (tmp_path / "step.md").read_text()


def test_children_answer(examples: Path) -> None:
    """One real process: it trains the baseline, is timed, and reports its memory. Another model is refused."""
    request = job(DCGAN, examples, variant="baseline", threads=1)
    with step.Child(request, step.MALLOC) as child:
        assert child.receive() == {"ready": True}
        assert child.step(2) > 0 and child.peak() > 50
    child.process.wait()
    with step.Child(request, step.MALLOC) as child:
        assert os.getsid(child.process.pid) == child.process.pid  # Ctrl-C does not reach it
    with pytest.raises(GanError, match="trains SharedFakesGAN, and this model is CycleGAN"):
        variant.build(job(["model=cyclegan", "model.G.width=2", "model.F.width=2"], examples, variant="baseline"))


def test_operations_by_hand() -> None:
    """G: 5 -> 6 -> 7 -> 64 and D: 64 -> 3 -> 1, batch 4: a layer's product is 2 n a b, each of its gradients as much;
    what is frozen gets none for its weights, the first layer none for its input."""
    words = ["model=sgan", "network=mlp", "dataset.image_size=8", "dataset.channels=1", "trainer.batch_size=4"]
    words += ["model.share_fakes=false", "model.latent_dim=5", "trainer.device=cpu", "model.generator.widths=[6,7]"]
    critic_node = "{_target_: gan_cli.networks.mlp.ReLUDiscriminator, image_size: 8, channels: 1, widths: [3]}"
    words += ["~model.discriminator", f"+model.discriminator={critic_node}"]
    found = flops.count(Workload(words))
    generator, critic = 5 * 6 + 6 * 7 + 7 * 64, 64 * 3 + 3 * 1
    forward = generator + 2 * critic + generator + critic
    d_backward = 2 * (critic + 3 * 1)  # weights of both batches, and through the last layer
    g_backward = critic + generator + (generator - 5 * 6)
    assert dict(found) == {"matrix product": 2 * 4 * (forward + d_backward + g_backward)}


def test_spread_and_ratio() -> None:
    assert report.spread([1.0, 1.2, 1.1]) == {"median": 1.1, "min": 1.0, "max": 1.2, "noisy": False}
    assert report.spread([1.0, 1.31])["noisy"]
    assert report.pairwise([2.0, 9.0, 4.0], [1.0, 3.0, 1.0]) == 3.0


def test_a_process_ends_quietly_when_its_parent_is_gone() -> None:
    """As when the benchmark itself is killed."""
    script = "from gan_cli.tools.bench import variant as v; v.check = lambda job: {'much': 'x' * 10**6}; exit(v.main())"
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdin is not None and child.stdout is not None and child.stderr is not None
    child.stdout.close()
    child.stdin.write(b'{"words": [], "check": ["plain"], "threads": 1}\n')
    child.stdin.close()
    assert child.stderr.read() == b"" and child.wait() == 141
    child.stderr.close()


def test_data_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(data, "GENERATED", 6)
    bench("data", ["dataset.image_size=16", "trainer.batch_size=2"], repeats=1, out=str(tmp_path / "out"))
    records = [json.loads(line) for line in (tmp_path / "out/data.jsonl").read_text().splitlines()]
    words = [record["path"].partition(" ")[0].rstrip(",") for record in records]
    assert words == ["PIL", "first", "memory-mapped", "in", "in", "tar"]
    assert all(r["images"] == 6 and r["rate"] > 0 for r in records)
    assert "images / s" in capsys.readouterr().out


def test_mistakes(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/a.png").write_text("no picture")
    (tmp_path / "file").touch()
    for words, text in (
        (["bench", "data", f"root={tmp_path}/nope"], "nope: no such folder"),
        (["bench", "data", f"root={tmp_path}/broken", f"out={tmp_path}/out"], "broken/a.png: not an image"),
        (["bench", "data", f"out={tmp_path}/file"], "file is a file; name a folder"),
        (["bench"], "needs what to measure"),
        (["bench", "stap"], "did you mean 'step'"),
        (["bench", "step", "repeats=0"], "repeats must be at least 1"),
        (["bench", "flops", "baseline=bare"], "baseline= is for gan bench step, not for gan bench flops; omit it"),
        (["bench", "data", "variants=plain"], "variants= is for gan bench step, not for gan bench data"),
        (["bench", "step", "root=x"], "root= is for gan bench data, not for gan bench step"),
        (["bench", "scaling", "versus=true"], "versus= is for gan bench start, not for gan bench scaling"),
        (["bench", "step", "variants=baseline,mine"], "no variant 'mine'"),
        (["bench", "step", "variants=foo"], "default, default+malloc"),
        (["bench", "scaling", "trainer.batch_size=3"], "cannot be divided among 2"),
    ):
        message = _refused(words)
        assert text in message, (words, message)
    with pytest.raises(GanError, match="no such checkout"):
        find(str(tmp_path), Workload(DCGAN))


def _refused(words: list[str]) -> str:
    stderr = io.StringIO()
    with contextlib.redirect_stderr(stderr):
        assert main(words) == 2
    return stderr.getvalue()


def test_two_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strong and weak: the same batch and twice the batch. What averaging costs is a part of the whole."""
    times = scaling._train([*DCGAN, "trainer.batch_size=2"], 2, 1)
    assert len(times["seconds"]) == 1 and 0 < times["average"] < times["seconds"][0]
    trained: list[tuple[str, int]] = []

    def train(words: list[str], world: int, repeats: int) -> dict[str, Any]:
        trained.append((words[-1], world))
        return {"seconds": [4.0 / world] * repeats, "average": 1.0}

    monkeypatch.setattr(scaling, "_train", train)
    scaling.measure(DCGAN, tmp_path, repeats=2)
    assert trained == [("trainer.batch_size=4", 1), ("trainer.batch_size=4", 2), ("trainer.batch_size=8", 2)]
    table = (tmp_path / "scaling.md").read_text()
    assert "| 1 process | 4 | 4 | 1 | 1 | 12.5 |" in table  # s, images / s, relative to 1, % of averaging
    assert "| 2 processes, strong: the same batch | 4 | 2 | 2 | 2 | 25 |" in table
    assert "| 2 processes, weak: twice the batch | 8 | 2 | 4 | 4 | 25 |" in table
