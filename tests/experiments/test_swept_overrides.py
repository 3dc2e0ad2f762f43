"""Each kind of Hydra's syntax for sweeps is run as it was asked for, or refused in one line that says what to write."""

import pytest
from helpers import TINY, composed
from hydra.types import RunMode
from omegaconf import OmegaConf

from gan_cli.config.composer import Composer, arguments
from gan_cli.experiments.grid import build_grid, sweep_settings
from gan_cli.utils.errors import GanError


def trials(*words):
    """The overrides of each trial of `gan train -m *words`."""
    args = arguments(words)
    composer = Composer(args)
    settings = sweep_settings(composer.compose([], RunMode.MULTIRUN).hydra.sweeper)
    grid = build_grid(args.overrides, settings, composer)
    return [grid.trial(index)[1] for index in range(len(grid))]


def trained(key, *words):
    """The value of a key in each trial."""
    values = [OmegaConf.select(composed(*overrides), key) for overrides in trials(*words)]
    return [OmegaConf.to_container(value) if OmegaConf.is_config(value) else value for value in values]


@pytest.mark.parametrize(
    ("key", "line", "values"),
    [
        ("seed", "seed=3,1,2", [3, 1, 2]),
        ("seed", "seed=choice(3,1)", [3, 1]),
        ("seed", "seed=range(3)", [0, 1, 2]),
        ("seed", "seed=range(1,6,2)", [1, 3, 5]),
        ("optimizer.lr", "optimizer.lr=range(0,1,0.25)", [0.0, 0.25, 0.5, 0.75]),
        ("seed", "seed=sort(3,1,2)", [1, 2, 3]),
        ("seed", "seed=sort(3,1,2,reverse=true)", [3, 2, 1]),
        ("seed", "seed=int(1.5,2.5)", [1, 2]),
        ("optimizer.lr", "optimizer.lr=float(range(1,3))", [1.0, 2.0]),
        ("seed", "seed=tag(one,two,choice(1,2))", [1, 2]),
        ("model._target_", "model=glob([wgan*],exclude=wgan_gp)", ["gan_cli.systems.gan.GAN"]),
        ("optimizer.betas", "optimizer.betas=[0,0.9],[0.5,0.9]", [[0, 0.9], [0.5, 0.9]]),
        ("optimizer.betas", "optimizer={betas:[0,0.9]},{betas:[0.5,0.9]}", [[0, 0.9], [0.5, 0.9]]),
        ("optimizer.lr", "++optimizer.lr=1,2", [1, 2]),
        ("trainer.schedule", "trainer/schedule=constant,constant", [None, None]),
        ("dataset.root", "dataset=image_folder  dataset.root='a,b','c d'", ["a,b", "c d"]),
        ("optimizer.lr", "optimizer.lr='${seed}',2", [0, 2]),
    ],
)  # fmt: skip
def test_run_as_asked(key, line, values):
    assert trained(key, *line.split("  ")) == values


def test_two_mappings_for_one_key_are_merged_as_in_a_single_run():
    assert trained("optimizer.lr", "optimizer={lr:3}", "optimizer={betas:[0,0.9]}", "seed=0,1") == [3, 3]
    line = ["optimizer={lr:3},{lr:4}", "optimizer={betas:[0,0.9]},{betas:[0,0.8]}"]
    assert trained("optimizer.lr", *line) == [3, 3, 4, 4]
    assert trained("optimizer.betas", *line) == [[0, 0.9], [0, 0.8]] * 2


@pytest.mark.parametrize(
    "line",
    [
        "seed=range(0,200000)", "seed=range(0,-200000,-1)", "optimizer.lr=range(0,1,1e-6)",
        "seed=shuffle(range(200000))",
        "seed=sort(range(200000),reverse=true)", "seed=range(0,inf)", "seed=range(nan,1)", f"seed=range(0,{10**400})",
    ],
)  # fmt: skip
def test_a_range_of_too_many_values_is_refused_before_it_is_listed(line):
    with pytest.raises(GanError, match="is no list of at most 100,000 values"):
        trials(line)


def test_a_range_of_as_many_values_as_may_be_is_listed():
    assert len(trials("seed=range(100000)")) == 100_000 and len(trials("optimizer.lr=range(1,0,-0.25)")) == 4


def test_overrides_keep_their_order():
    """A later one may change what an earlier one has set, also if that one is swept."""
    assert trained("optimizer.lr", "optimizer.lr=1,2", "optimizer={lr:5}") == [5, 5]
    assert trained("optimizer.lr", "optimizer={lr:5}", "optimizer.lr=1,2") == [1, 2]
    assert trained("optimizer.betas", "~optimizer.betas", "+optimizer.betas=[0,0.9]", "seed=0,1") == [[0, 0.9]] * 2
    with_deleted = trials("seed=0,1", "+optimizer.networks.generator={lr:1}", "~optimizer.networks.generator")
    assert [len(one) for one in with_deleted] == [3, 3]


def test_a_key_that_is_given_twice_keeps_the_later_values_and_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert trained("seed", "seed=0,1", "seed=5,6,7") == [5, 6, 7] and trained("seed", "seed=0,1", "seed=4") == [4]
    args = arguments(["seed=0,1", "seed=4"])
    composer = Composer(args)
    grid = build_grid(args.overrides, sweep_settings(composer.compose([], RunMode.MULTIRUN).hydra.sweeper), composer)
    assert grid.notes == ("note: seed=0,1 is replaced by seed=4, which follows it",)


def test_a_shuffled_sweep_has_the_same_order_each_time():
    """Else a continued sweep with sweep.sample would run other trials."""
    orders = {tuple(trained("seed", "seed=shuffle(range(0,30))")) for _ in range(3)}
    assert len(orders) == 1 and sorted(*orders) == list(range(30)) and orders != {tuple(range(30))}


REFUSED = {
    "optimizer.lr=interval(1e-4,1e-3) seed=0,1": "optimizer.lr=interval(1e-4,1e-3): an interval has no list of values; "
    "list some, such as optimizer.lr=0.0001,0.001 or optimizer.lr=range(...), or let `gan search metric=NAME "
    "'space.optimizer.lr=uniform(0.0001,0.001)'` choose them",
    "seed=tag(a,interval(1,2))": "seed=tag(a,interval(1,2)): an interval has no list of values",
    "seed=range(0,5,0)": "seed=range(0,5,0): range() arg 3 must not be zero",
    "seed=range(5,0)": "'seed=range(5,0)' matches nothing",
    "model=glob(zzz*)": "'model=glob(zzz*)' matches nothing",
    "seed=choice(0,1),2": "seed=choice(0,1),2: a value holds a list of values; list the whole values of seed",
    "optimizer={lr:choice(1,2)}": "a value holds a list of values; list the whole values of optimizer",
    "optimizer.betas=[choice(0,1),0.9]": "a value holds a list of values",
    "~seed=0,1": "~seed=0,1: ~ deletes a key, and cannot be swept; write ~seed",
    "optimizer.lr=${seed},2": "optimizer.lr=${seed},2: in a list of values ${...} needs quotes: '${...}'",
    "optimizer.betas=shuffle([0,1]) seed=0,1": "each trial would shuffle anew; write the order itself",
    "sweep=gan_mnist_grid,ebgan_mnist_grid": "a sweep has one grid; start one sweep for each",
    "hydra.job.name=a,b": "not supported : 'hydra.job.name=a,b'",
    "sweep.sample=1,2 seed=0,1": "not supported : 'sweep.sample=1,2'",
}


@pytest.mark.parametrize("line", REFUSED)
def test_refused_with_the_remedy(line, refused_at_once):
    assert REFUSED[line] in refused_at_once("train", "-m", *TINY, *line.split(" "))
