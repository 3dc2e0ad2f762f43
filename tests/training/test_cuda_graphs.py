"""Iterations recorded as CUDA graphs. On a CPU a stand-in takes the place of torch.cuda.graph, and tensors that pretend
to be on a GPU show whether a loss would wait for one. The last tests need a GPU: `pytest tests/test_cuda_graphs.py`.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from gan_cli.data.base import Images
from gan_cli.systems.base import System, Turn, test_mode
from gan_cli.tools.bench.workload import settings
from gan_cli.training import build, checkpoint
from gan_cli.training.cuda_graphs import WARM, GraphedTrainer, Graphs, Values, kind
from gan_cli.training.trainer import Trainer
from gan_cli.utils import random as draw
from gan_cli.utils.errors import GanError

WIDTHS = ["model.generator.width=4", "model.discriminator.width=4", "trainer.batch_size=4"]
POINTS = ["dataset=mixture_domains", "dataset.value_range=null", "trainer.batch_size=4"]
GAMES = {
    "dcgan": ["model=dcgan", "dataset.image_size=8", *WIDTHS],
    "wgan_gp": ["model=wgan_gp", "dataset=ring", "network=toy", "trainer.batch_size=4"],
    "began": ["model=began", "dataset=ring", "network=toy_energy", "trainer.batch_size=4"],
    "pix2pix": [
        "model=pix2pix", "dataset.image_size=16", "model.generator.width=2", "model.discriminator.width=2",
        "model.discriminator.n_layers=1", "trainer.batch_size=2",
    ],
    "cyclegan": [
        "model=cyclegan", "dataset.image_size=24", "trainer.batch_size=1", "model.pool_size=3",
        *(f"model.{name}.width=4" for name in ("G", "F", "D_X", "D_Y")),
    ],
    "one_way_gan": ["model=one_way_gan", "network=one_way_gan_toy", *POINTS],
    "gmmn_ae": ["model=gmmn_ae", "dataset.image_size=8", "model.pretrain=6", "trainer.batch_size=4"],
}  # fmt: skip
EXACT = ["optimizer.lr=0.0009765625", "trainer.iterations=16", "trainer/schedule=linear"]  # rates are exact in float32
N = 12


class StandIn:
    """Like torch.cuda.graph: recording computes nothing, and a replay computes with the numbers that Python had when it
    was recorded, into the same tensor of results."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.log = trainer, list[str]()

    def warm(self, play: Callable[[], Values]) -> Values:
        self.log.append("plain")
        return play()

    def record(self, play: Callable[[], Values]) -> tuple[Values, Callable[[], None]]:
        self.log.append("recorded")
        system, then = self.trainer.system, self.trainer.iteration
        states = [state for one in self.trainer.optimizers.values() for state in one.state.values()]
        memory = [*system.parameters(), *system.buffers(), *(t for state in states for t in state.values())]
        kept, random = [t.detach().clone() for t in memory], (draw.state_dict(), torch.get_rng_state())
        names, values = play()
        with torch.no_grad():
            for tensor, before in zip(memory, kept, strict=True):
                tensor.copy_(before)
        for generator in draw.generators(self.trainer.device):
            generator.set_state(random[0][str(self.trainer.device)])
        torch.set_rng_state(random[1])
        results = torch.full_like(values, torch.nan)

        def replay() -> None:
            self.log.append("replayed")
            now, system.iteration = system.iteration, then
            results.copy_(play()[1])
            system.iteration = now

        return (names, results), replay


composed = lru_cache(settings)


def trainer(words: Sequence[str], graphs: bool, device: str = "cpu") -> Trainer:
    cfg = copy.deepcopy(composed((*words, f"trainer.device={device}")))
    cfg.trainer.cuda_graphs = graphs
    system, data = build.system(cfg).to(device), build.dataset(cfg)
    data.to(torch.device(device))
    built = build.trainer(cfg, system, data)
    if isinstance(built, GraphedTrainer) and device == "cpu":
        built.graphs = Graphs(StandIn(built))
    return built


def log(one: Trainer) -> list[str]:
    assert isinstance(one, GraphedTrainer) and isinstance(one.graphs.recorder, StandIn)
    return one.graphs.recorder.log


def played(one: Trainer, iterations: int) -> list[dict[str, Tensor]]:
    return [one.iterate() for _ in range(iterations)]


def weights(one: Trainer) -> dict[str, Tensor]:
    found = dict(one.system.state_dict())
    for name, average in (one.ema.copies if one.ema else {}).items():
        found |= average.state_dict(prefix=f"average.{name}.")
    return {name: value.detach().clone() for name, value in found.items()}


def saved(one: Trainer, folder: Path) -> Path:
    checkpoint.save(folder / "state.pt", one.state_dict())
    return folder / "state.pt"


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert list(a) == list(b)
    assert not [name for name in a if not torch.equal(a[name], b[name])]


@pytest.mark.parametrize("name", GAMES)
def test_the_numbers_of_plain_iterations(name: str) -> None:
    """Rates that fall, noise, dropout, pools, repeated steps, phases, averages: scalars and weights to the bit."""
    plain = trainer([*GAMES[name], *EXACT], graphs=False)
    expected = played(plain, N)
    graphed = trainer([*GAMES[name], *EXACT], graphs=True)
    found = played(graphed, N)
    for a, b in zip(expected, found, strict=True):
        same(a, b)
    same(weights(plain), weights(graphed))
    assert (plain.iteration, plain.position) == (graphed.iteration, graphed.position)
    assert [(i, n) for i, n, _ in plain._unchecked] == [(i, n) for i, n, _ in graphed._unchecked]
    assert all(torch.equal(a[2], b[2]) for a, b in zip(plain._unchecked, graphed._unchecked, strict=True))
    kinds, rest = {"one_way_gan": (2, 0), "gmmn_ae": (2, 0), "cyclegan": (1, 3)}.get(name, (1, 0))
    assert log(graphed).count("plain") == WARM * kinds and log(graphed).count("recorded") == kinds
    assert log(graphed).count("replayed") == N - WARM * kinds - rest  # the recorded iteration is replayed, too


def test_when_it_is_recorded() -> None:
    """WARM plain plays of a kind, then a recording; another kind, by steps or by shape, starts anew."""
    calls: list[str] = []

    class Noted:
        def warm(self, play: Callable[[], Values]) -> Values:
            calls.append("plain")
            return play()

        def record(self, play: Callable[[], Values]) -> tuple[Values, Callable[[], None]]:
            calls.append("recorded")
            values = play()
            return values, lambda: calls.append("replayed")

    graphs, seen = Graphs(Noted()), list[Sequence[Any]]()

    def play(batches: Sequence[Any]) -> Values:
        seen.append(batches)
        return ["mean"], batches[0].image.mean().reshape(1)

    batches = [[Images(torch.full((2, 1), float(i)))] for i in range(WARM + 3)]
    results = [graphs.play("kind", play, batch) for batch in batches]
    assert calls == ["plain"] * WARM + ["recorded", "replayed", "replayed", "replayed"]
    assert seen[:WARM] == batches[:WARM] and len(seen) == WARM + 1
    kept = seen[WARM][0]  # the memory that the recording reads: copied into, never another
    assert kept is not batches[WARM][0] and kept.image.tolist() == [[WARM + 2.0]] * 2 and kept.label is None
    assert batches[WARM][0].image.tolist() == [[float(WARM)]] * 2
    assert len({values.data_ptr() for _, values in results[WARM:]}) == 3  # the next replay does not overwrite them
    graphs.play("another kind", play, batches[0])
    assert calls[-1] == "plain"
    graphs.forget()
    graphs.play("kind", play, batches[0])
    assert calls[-1] == "plain"


def test_kinds() -> None:
    """By who moves, how often, and the shapes of what they see; not by the numbers in it."""

    def turns(d: int, g: int, *trains: str) -> list[Turn]:
        return [Turn("d", ("D",), lambda batch: {}, d), Turn("g", ("G", *trains), lambda batch: {}, g)]

    batches = [Images(torch.zeros(4, 1)), Images(torch.zeros(4, 1))]
    others = [batches[0], Images(torch.zeros(2, 1))], [batches[0], Images(torch.zeros(4, 1), torch.zeros(4).long())]
    one = kind(turns(2, 1), batches)
    assert one == kind(turns(2, 1), [Images(torch.ones(4, 1)), batches[1]])
    different = [kind(turns(1, 2), batches), kind(turns(2, 1, "E"), batches), *(kind(turns(2, 1), b) for b in others)]
    assert len({one, *different}) == 5


def test_batches_rates_and_scalars_stay_where_they_are_or_do_not() -> None:
    one = trainer([*GAMES["wgan_gp"], *EXACT], graphs=True)
    scalars, rates = [], []
    for _ in range(WARM + 3):
        scalars.append(one.iterate()["d/adversarial"])
        rates.append(one.optimizers["generator"].param_groups[0]["lr"])
    assert isinstance(one, GraphedTrainer)
    (recorded,) = one.graphs.recorded.values()
    assert len(recorded.batches) == 5  # of the critic; the generator's turn takes the first again
    assert len({value.data_ptr() for value in scalars[WARM:]}) == 3 and len(set(map(float, scalars))) == WARM + 3
    assert all(rate is rates[0] for rate in rates) and float(rates[0]) == 2**-10 * (1 if WARM + 3 <= 8 else 0)


def test_resumed_to_the_bit(tmp_path: Path) -> None:
    """From a checkpoint of a graphed or of a plain run, in a new process or in this one."""
    words = [*GAMES["pix2pix"], *EXACT]
    whole = trainer(words, graphs=False)
    played(whole, N)
    for before in (True, False):
        first = trainer(words, graphs=before)
        played(first, 6)
        file = saved(first, tmp_path)
        for after in (True, False):
            second = trainer(words, graphs=after)
            second.load_state_dict(checkpoint.load(file))
            played(second, N - 6)
            same(weights(whole), weights(second))
    second = trainer(words, graphs=True)
    played(second, 8)
    second.load_state_dict(checkpoint.load(file))
    played(second, N - 6)
    same(weights(whole), weights(second))
    assert log(second).count("recorded") == 2  # Adam's averages are other tensors after loading


def test_looking_at_samples_changes_nothing() -> None:
    words = [*GAMES["dcgan"], *EXACT]
    alone = trainer(words, graphs=True)
    played(alone, N)
    watched = trainer(words, graphs=True)
    places = [p.data_ptr() for p in watched.system.parameters()]
    for _ in range(N):
        watched.iterate()
        assert watched.ema is not None
        with watched.ema.swapped(), test_mode(watched.system, seed=1):
            watched.system.sample(watched.dataset.test_batch(0, 4))
    same(weights(alone), weights(watched))
    assert places == [p.data_ptr() for p in watched.system.parameters()]


def test_what_stands_in_the_way_is_said_once_and_played_plainly(capsys: pytest.CaptureFixture[str]) -> None:
    ring = ["model=dcgan", "dataset=ring", "network=toy", "trainer.batch_size=4"]
    margin = "loss.adversarial.margin={_target_: gan_cli.losses.objective.LinearMargin}"
    cases = {
        "by SGD, which torch cannot": [*ring, "optimizer=sgd"],
        "DiscoGAN decides in Python": ["model=discogan", "network=discogan_toy", *POINTS],
        "EBGAN decides in Python": [
            "model=ebgan", "dataset=ring", "network=toy_energy", "trainer.batch_size=4", margin,
        ],
    }  # fmt: skip
    for text, words in cases.items():
        plain = trainer([*words, *EXACT], graphs=False)
        expected = played(plain, WARM + 2)
        capsys.readouterr()
        graphed = trainer([*words, *EXACT], graphs=True)
        for a, b in zip(expected, played(graphed, WARM + 2), strict=True):
            same(a, b)
        assert log(graphed) == [] and capsys.readouterr().out.count(text) == 1


def test_several_processes_and_momentum_stand_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    one = trainer([*GAMES["wgan_gp"], *EXACT], graphs=True)
    assert isinstance(one, GraphedTrainer) and one._obstacle() is None
    one.momentum = lambda iteration, iterations: 0.5
    assert "trainer.momentum" in (one._obstacle() or "")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "several processes" in (one._obstacle() or "")


def test_what_cannot_be_recorded_is_one_line() -> None:
    one = trainer([*GAMES["wgan_gp"], *EXACT], graphs=True)
    assert isinstance(one, GraphedTrainer)

    class Refusing(StandIn):
        def record(self, play: Callable[[], Values]) -> tuple[Values, Callable[[], None]]:
            raise RuntimeError("operation not permitted\nwhen stream is capturing")

    one.graphs = Graphs(Refusing(one))
    played(one, WARM)
    with pytest.raises(GanError, match=r"cuda_graphs=true.*not permitted when stream is capturing.*leave it false"):
        one.iterate()


def test_refused_on_a_cpu_and_with_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [*GAMES["wgan_gp"], "trainer.cuda_graphs=true"]
    cfg = settings([*words, "trainer.device=cpu"])
    with pytest.raises(GanError, match=r"cuda_graphs=true.*a GPU.*leave it false"):
        build.dry_run(cfg, build.system(cfg), build.dataset(cfg))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    cfg = settings([*words, "trainer.device=cuda", "trainer.compile=true"])
    with pytest.raises(GanError, match=r"cuda_graphs=true.*trainer\.compile"):
        build.dry_run(cfg, build.system(cfg), build.dataset(cfg))
    assert type(trainer(GAMES["wgan_gp"], graphs=False)) is Trainer


def pretend(system: System, mode: FakeTensorMode) -> None:
    """Every weight and buffer becomes one on a GPU that is not there."""
    for module in system.modules():
        for name, p in module._parameters.items():
            if p is not None:
                module._parameters[name] = nn.Parameter(mode.from_tensor(p).to("cuda").detach())
        for name, b in module._buffers.items():
            if b is not None:
                module._buffers[name] = mode.from_tensor(b).to("cuda")


@pytest.fixture
def no_gradients(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The gradients that losses take, which need a GPU even of tensors that pretend, are 0."""

    def zeros(outputs: Any, inputs: Any, **_: Any) -> tuple[Tensor, ...]:
        return tuple(torch.zeros_like(x) for x in ([inputs] if isinstance(inputs, Tensor) else inputs))

    monkeypatch.setattr(torch.autograd, "grad", zeros)
    monkeypatch.setattr(draw, "_generator", lambda device: None)
    yield


SMALL = {
    **{name: GAMES[name] for name in ("wgan_gp", "began", "cyclegan", "one_way_gan", "gmmn_ae")},
    "cgan": ["model=cgan"],
    "infogan": ["model=infogan", "dataset.image_size=8"],
    "unrolled": ["model=unrolled"],
    "pix2pix_noise": [
        "model=pix2pix_noise", "dataset.image_size=16", "model.generator.width=2", "model.discriminator.width=2",
        "model.discriminator.n_layers=1",
    ],
    "ladder": ["model=ladder"],
    "pix2pixhd": ["model=pix2pixhd", "dataset.image_size=32", "model.perceptual=null"],
}  # fmt: skip


@pytest.mark.parametrize("name", SMALL)
def test_capturable_games_wait_for_no_value(name: str, no_gradients: None) -> None:
    """And those that are never capturable do. A tensor made on the CPU fails as well."""
    cfg = settings([*SMALL[name], "trainer.batch_size=4"])
    system, batch = build.system(cfg), build.dataset(cfg).train_batch(0, 0, 4)
    mode = FakeTensorMode()
    with mode:
        pretend(system, mode)
        system.optimizers = build.optimizers(cfg, system)
        there = type(batch)(*(part if part is None else mode.from_tensor(part).to("cuda") for part in batch))  # type: ignore[arg-type]

        def play() -> None:
            for turn in system.turns():
                turn.loss(there)
                if turn.after_step is not None:
                    turn.after_step()

        if type(system).capturable is False:
            with pytest.raises(DataDependentOutputException):
                play()
        else:
            play()


gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture
def deterministic() -> Iterator[None]:
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = True, False
    yield
    cudnn.deterministic, cudnn.benchmark = before


REPEATABLE = [name for name in GAMES if name != "cyclegan"]  # reflection padding adds its gradients up in any order
LONGER = [*EXACT, "trainer.iterations=32"]


@gpu
@pytest.mark.parametrize("name", REPEATABLE)
def test_on_a_gpu_the_numbers_of_plain_iterations(name: str, deterministic: None) -> None:
    plain = trainer([*GAMES[name], *LONGER], graphs=False, device="cuda")
    expected = played(plain, 20)
    graphed = trainer([*GAMES[name], *LONGER], graphs=True, device="cuda")
    for a, b in zip(expected, played(graphed, 20), strict=True):
        same(a, b)
    same(weights(plain), weights(graphed))
    assert isinstance(graphed, GraphedTrainer) and graphed.graphs.recorded


@gpu
def test_on_a_gpu_a_cyclegan_is_recorded_once_its_pools_are_full(deterministic: None) -> None:
    words = [*GAMES["cyclegan"], *LONGER]
    plain = trainer(words, graphs=False, device="cuda")
    expected = played(plain, N)
    graphed = trainer(words, graphs=True, device="cuda")
    for a, b in zip(expected, played(graphed, N), strict=True):
        assert {name: float(value) for name, value in b.items()} == pytest.approx(
            {name: float(value) for name, value in a.items()}, rel=0.02
        )
    assert isinstance(graphed, GraphedTrainer) and len(graphed.graphs.recorded) == 1


@gpu
@pytest.mark.parametrize("name", REPEATABLE)
def test_on_a_gpu_resumed_to_the_bit(name: str, tmp_path: Path, deterministic: None) -> None:
    words = [*GAMES[name], *LONGER]
    whole = trainer(words, graphs=True, device="cuda")
    played(whole, 20)
    first = trainer(words, graphs=True, device="cuda")
    played(first, 9)
    file = saved(first, tmp_path)
    played(first, 1)
    first.load_state_dict(checkpoint.load(file))
    played(first, 11)
    same(weights(whole), weights(first))
    second = trainer(words, graphs=True, device="cuda")
    second.load_state_dict(checkpoint.load(file))
    played(second, 11)
    same(weights(whole), weights(second))
