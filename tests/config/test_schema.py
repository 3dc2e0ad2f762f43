"""The configuration: every file composes and passes `check`, and `check` finds what is wrong with the others."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from helpers import checked, composed
from omegaconf import OmegaConf

from gan_cli.config import schema
from gan_cli.config.composer import slug
from gan_cli.config.groups import description, groups
from gan_cli.config.paths import conf_dir
from gan_cli.config.schema import TrainerSettings, check, command_line_modules
from gan_cli.config.targets import bind, describe, fits, target
from gan_cli.losses.adversarial import AdversarialLoss
from gan_cli.utils.errors import GanError


def names(group):
    return [file.stem for file in groups().get(group, [])]


# -- the files


LOWER_CASE_NAMES = ("f-GAN", "pix2pix")
NOT_AN_END = re.compile(r"([,;:(-]|\b(a|an|and|as|by|for|from|in|is|of|on|or|that|the|to|with|which))$")
REFERS_ELSEWHERE = re.compile(r"[Tt]he same (as|for)|memory - verify|third hand|\bgame\b")


@pytest.mark.parametrize("file", sorted(conf_dir().rglob("*.yaml")), ids=lambda f: str(f.relative_to(conf_dir())))
def test_every_file_is_described_by_one_whole_line(file):
    line = description(file)
    assert line[:1].isupper() or line[:1].isdigit() or line.startswith(LOWER_CASE_NAMES), line
    assert not NOT_AN_END.search(line) and not REFERS_ELSEWHERE.search(line), line
    assert line.count("(") == line.count(")") and len(line) <= 118, line
    lines = file.read_text().splitlines()
    assert not any(line.startswith("# @package") for line in lines[1:]), "Hydra reads @package in the first line only"


@pytest.mark.parametrize("model", names("model"))
@pytest.mark.parametrize("loss", [None, "wgan_gp"])
def test_every_model_passes(model, loss):
    cfg = composed(f"model={model}", *([f"loss={loss}"] if loss else []))
    before = OmegaConf.to_container(cfg)
    check(cfg)
    assert OmegaConf.to_container(cfg) == before  # looked at, and nothing else
    assert loss is None or cfg.loss.adversarial._target_ == "gan_cli.losses.adversarial.Wasserstein"


@pytest.mark.parametrize(
    ("group", "name"),
    [(group, name) for group in ("loss", "dataset", "optimizer", "trainer/schedule") for name in names(group)],
)
def test_every_part_passes_and_another_key_in_it_does_not(group, name):
    cfg = checked(f"{group}={name}")
    node = group.replace("trainer/", "trainer.")
    if cfg[group.partition("/")[0]] and name != "constant":
        with pytest.raises(GanError, match=rf"^no key '{node}.imagesize'"):
            checked(f"{group}={name}", f"+{node}.imagesize=3")


@pytest.mark.parametrize("name", names("experiment"))
def test_every_experiment_passes_with_its_own_values(name):
    cfg = checked(f"experiment={name}")

    def compare(own, path):
        if isinstance(own, dict) and own:
            for key, value in own.items():
                compare(value, f"{path}.{key}" if path else key)
        else:
            found = OmegaConf.select(cfg, path)
            assert (OmegaConf.to_container(found) if OmegaConf.is_config(found) else found) == own, path

    own = OmegaConf.to_container(OmegaConf.load(conf_dir() / f"experiment/{name}.yaml"))
    assert own.pop("defaults")  # the choices of groups
    compare(own, "")


def test_the_contract_of_names():
    cfg = composed()
    keys = {"iterations", "batch_size", "device", "precision", "ema_decay", "schedule", "log_every", "sample_every"}
    assert keys | {"checkpoint_every"} <= set(cfg.trainer) and "seed" in cfg
    assert set(cfg.trainer) == set(TrainerSettings.__dataclass_fields__)


# -- targets


@pytest.mark.parametrize(
    "path",
    [
        "os.system",
        "builtins.eval",
        "subprocess.run",
        "torch.hub.load",
        "torch.load",
        "torch.utils.cpp_extension.load",
        "gan_cli.cli.main.main",
        "gan_cli.config.targets.target",
        "gan_cli.training.build.instantiate",
        "gan_cli.lossesx.Wasserstein",
        "gan_cli.losses.adversarial.torch.hub.load",
        "gan_cli.losses.adversarial.Wasserstein.__init__.__globals__",
        "gan_cli.losses.adversarial.Wasserstein.d_loss",
        "gan_cli.losses.adversarial.__builtins__",
        "gan_cli.losses.adversarial.Tensor",
        "torch.nn.Module.__init__",
        "torch.nn.modules.module.torch.hub.load",
        "torch.nn.functional.warnings.warn",
        "torch.nn.functional.importlib",
        "torch.nn",
        "torch.nn.",
        ".torch.nn.Linear",
        "torch.nn..Linear",
        "gan_cli.systems",
        "",
        3,
        None,
    ],
)
def test_targets_of_a_stranger_are_refused(path):
    with pytest.raises(GanError, match=r"not allowed|does not exist"):
        target(path)
    cfg = composed()
    OmegaConf.set_struct(cfg, False)
    cfg.model.discriminator = {"_target_": path}
    with pytest.raises(GanError, match=r"^model\.discriminator: "):
        check(cfg)


def test_targets_are_found():
    import torch

    assert target("torch.nn.MSELoss") is torch.nn.MSELoss and target("torch.optim.Adam") is torch.optim.Adam
    with pytest.raises(GanError, match=r"did you mean 'torch\.optim\.Adam'"):
        target("torch.optim.Adams")
    assert target("gan_cli.losses.adversarial.Wasserstein").__name__ == "Wasserstein"
    with pytest.raises(GanError, match="did you mean 'Wasserstein'"):
        target("gan_cli.losses.adversarial.Waserstein")
    with pytest.raises(GanError, match="did you mean 'infogan'"):
        target("gan_cli.systems.infgan.InfoGAN")


def test_a_users_module_is_believed_on_the_command_line_only(tmp_path, monkeypatch):
    (tmp_path / "mylosses.py").write_text(
        "from os import system\nclass Mine:\n    def __init__(self, weight: float = 1.0): pass\n"
    )
    (tmp_path / "broken.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    overrides = ["modules=[mylosses]", "+loss.adversarial={_target_: mylosses.Mine, weight: 2}"]
    assert command_line_modules(overrides) == ["mylosses"] == command_line_modules(["modules=mylosses"])
    check(composed(*overrides), ["mylosses"])
    with pytest.raises(GanError, match=r"asks for module 'mylosses': modules=\[mylosses\]"):
        check(composed(*overrides))
    with pytest.raises(GanError, match=r"'mylosses\.Mine' is not allowed"):
        check(composed(overrides[1]))
    for name in ("mylosses.system", "mylosses.os.system", "mylossesx.Mine"):
        with pytest.raises(GanError):
            target(name, ["mylosses"])
    with pytest.raises(GanError, match="cannot be imported: ZeroDivisionError"):
        target("broken.Mine", ["broken"])


# -- arguments


def example(width: int, rate: float = 0.1, name: str | None = None, betas: tuple[float, float] = (0, 1)):
    pass


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"width": 3, "wide": 1}, "no key 'here.wide' in .*example; did you mean 'width'"),
        ({}, "here.width is missing"),
        ({"width": 3.0}, "here.width must be a whole number, not 3.0"),
        ({"width": True}, "here.width must be a whole number, not True"),
        ({"width": None}, "here.width must be a whole number, not None"),
        ({"width": 3, "rate": "fast"}, "here.rate must be a number, not 'fast'"),
        ({"width": 3, "name": 4}, "here.name must be text or null, not 4"),
        ({"width": 3, "betas": [0.5]}, "here.betas must be a list of 2 values, each a number, not"),
    ],
)
def test_arguments_are_bound_to_the_signature(given, message):
    with pytest.raises(GanError, match=message):
        bind("here", example, given)


def test_good_arguments_pass():
    bind("here", example, {"width": 3, "rate": 1, "name": None, "betas": [0, 0.9]})
    bind("here", example, {}, injected=("width",))
    with pytest.raises(GanError, match=r"here\.width is missing"):  # what makes the line above say something
        bind("here", example, {})


@pytest.mark.parametrize(
    ("value", "hint", "good", "words"),
    [
        (1, float, True, "a number"),
        (True, float, False, "a number"),
        ([1, 2], list[int], True, "a list of a whole number"),
        ([1, "a"], list[int], False, "a list of a whole number"),
        ([1, 2, 3], tuple[int, ...], True, "a list of a whole number"),
        ([1, 2, 3], tuple[int, int], False, "a list of 2 values, each a whole number"),
        ("b", Literal["a", "b"], True, "a or b"),
        ("c", Literal["a", "b"], False, "a or b"),
        ({"_target_": "torch.nn.ReLU"}, int, False, "a whole number"),
        ({"_target_": "torch.nn.ReLU"}, Path, True, "Path"),
        ("a", Path, False, "Path"),
        ("anything", object, True, "object"),
        (None, int | None, True, "a whole number or null"),
        (1.5, int | Callable[[int], int], False, "a whole number or a mapping with a _target_"),
        ({"_target_": "torch.nn.ReLU"}, str | Callable[[int], int], True, "text or a mapping with a _target_"),
        (None, AdversarialLoss, False, "AdversarialLoss"),
        ("foo", AdversarialLoss | None, False, "null"),
    ],
)
def test_fits(value, hint, good, words):
    assert fits(value, hint) is good
    assert describe(hint) == words


def test_a_partial_node_of_a_users_module_may_leave_arguments_out(tmp_path, monkeypatch):
    (tmp_path / "mylosses.py").write_text("def noise(n, *shape, device='cpu', low: float = 0.0): pass\n")
    monkeypatch.chdir(tmp_path)
    cfg = composed("modules=[mylosses]")
    OmegaConf.set_struct(cfg, False)
    cfg.model.noise = {"_target_": "mylosses.noise", "_partial_": True, "low": -1.0}
    check(cfg, ["mylosses"])
    cfg.model.noise.lwo = 1.0
    with pytest.raises(GanError, match=r"no key 'model\.noise\.lwo'"):
        check(cfg, ["mylosses"])
    del cfg.model.noise.lwo
    cfg.model.noise._partail_ = True
    with pytest.raises(GanError, match="did you mean '_partial_'"):
        check(cfg, ["mylosses"])


@pytest.mark.parametrize("text", ["../..", "a b", "os;x", "1x", "a..b", "[mylosses,../x]"])
def test_a_module_is_named_by_identifiers(text):
    with pytest.raises(GanError, match="is no name of a Python module"):
        command_line_modules([f"modules={text}"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.lr=nan", "optimizer.lr must be a finite number"),
        ("loss.adversarial.margin=inf", "loss.adversarial.margin must be a finite number"),
        ("+optimizer.eps=1e39", "does not fit into a float32"),
        ("trainer.iterations=9223372036854775808", "does not fit into 64 bits"),
        ("model.generator.size=99999999999", "must be at most 65536"),
        ("loss=[[[]]]", r"cannot use 'loss=\[\[\[\]\]\]'"),
        ("~loss._target_", "loss has no _target_"),
        ("~model._target_", "model has no _target_"),
    ],
)
def test_numbers_and_nodes_that_nothing_can_use(override, message):
    with pytest.raises(GanError, match=message):
        check(composed("experiment=ebgan_mnist", override))


def test_one_module_uses_the_internals_of_hydra():
    package = Path(schema.__file__).parent.parent
    users = {file.relative_to(package) for file in package.rglob("*.py") if "hydra._internal" in file.read_text()}
    assert users == {Path("config/composer.py")}


def test_slug_is_a_plain_folder_name():
    assert slug("model=dcgan,optimizer.lr=1e-3") == "model_dcgan-lr_1e-3"
    assert slug("dataset.root=/a/b c,trainer/schedule=linear") == "root_a_b_c-schedule_linear"
    assert slug("") == "default" and len(slug("x" * 300)) == 80


# -- weights

WEIGHTS = re.compile(r"lambda_\w+|weights?|gamma")


def numbers_of(node: object, path: str) -> list[tuple[str, object]]:
    """Every number, or list of numbers, of a configuration, with its path."""
    if isinstance(node, dict):
        return [found for key, value in node.items() for found in numbers_of(value, f"{path}.{key}")]
    numbers = node if isinstance(node, list) else [node]
    return [(path, node)] if numbers and all(type(value) in (int, float) for value in numbers) else []


@pytest.mark.parametrize("group, name", [(group, name) for group in ("model", "loss") for name in names(group)])
def test_no_weight_is_negative(group: str, name: str) -> None:
    cfg = checked(f"{group}={name}")
    for path, value in numbers_of(OmegaConf.to_container(cfg[group], resolve=True), group):
        key = path.rpartition(".")[2]
        if not WEIGHTS.fullmatch(key) or (isinstance(value, list) and key != "weights"):
            continue
        wrong = cfg.copy()
        OmegaConf.update(wrong, path, [-1.0] if isinstance(value, list) else -1)
        with pytest.raises(GanError, match=rf"^{re.escape(path)}(\[0\])? is 0 or more, not -1"):
            check(wrong)
