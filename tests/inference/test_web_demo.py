"""The page of `gan web`: what its server answers."""

import base64
import io
import re
import socketserver
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import TINY, TINY_CYCLEGAN
from PIL import Image
from torch import Tensor

from gan_cli.cli import main
from gan_cli.inference import translator
from gan_cli.inference.trained_run import TrainedRun
from gan_cli.inference.translator import palette
from gan_cli.inference.web_demo import MAX_BYTES, Page
from gan_cli.utils.errors import Terminated

testing = pytest.importorskip("werkzeug.test")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "cycle"
    assert main.main(["train", *TINY, *TINY_CYCLEGAN, "dataset.image_size=16", f"hydra.run.dir={folder}"]) == 0
    return folder


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return Page(TrainedRun(run, device="cpu"))


@pytest.fixture
def client(page: Page) -> Any:
    return testing.Client(page)


def png(color: str = "red", size: tuple[int, int] = (16, 16)) -> tuple[io.BytesIO, str]:
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, format="PNG")
    file.seek(0)
    return file, "canvas.png"


def decoded(url: str) -> np.ndarray:
    head, _, body = url.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body))))


def test_the_page_needs_nothing_from_elsewhere(client: Any) -> None:
    answer = client.get("/")
    text = answer.get_data(as_text=True)
    assert answer.status_code == 200 and answer.content_type.startswith("text/html")
    assert not re.search(r"https?://|src=|@import", text)
    inputs = re.findall(r"<(?:input|select)[^>]*id=\"(\w+)\"", text)
    for name in inputs:  # each within a label of its own
        assert re.search(rf"<label[^>]*>[^<]*<(?:input|select)[^>]*id=\"{name}\"", text), name


def test_about(client: Any) -> None:
    about = client.get("/about").get_json()
    assert about["model"] == "CycleGAN" and about["directions"] == ["AtoB", "BtoA"] and about["size"] == 16
    assert about["outputs"] == 1 and about["colors"] is None and about["style"] is False


def test_an_image_is_translated_as_the_run_does(client: Any, run: Path) -> None:
    found = client.post("/translate", data={"image": png("teal"), "direction": "BtoA"}).get_json()
    (output,) = (decoded(url) for url in found["outputs"])
    x = torch.tensor([0.0, 128.0, 128.0]).view(1, 3, 1, 1).expand(1, 3, 16, 16) / 127.5 - 1
    with TrainedRun(run, device="cpu").test_mode(0) as system:
        expected = system.translate(x, "BtoA")[0].permute(1, 2, 0)  # type: ignore[operator]
    assert np.abs(output - (expected.numpy() + 1) * 127.5).max() <= 0.51
    other = client.post("/translate", data={"image": png("teal", (19, 30))}).get_json()
    assert decoded(other["outputs"][0]).shape == (30, 19, 3) and "padded" in other["adaptation"]


def test_examples_are_held_out_inputs(client: Any, page: Page) -> None:
    for direction, at in (("AtoB", 0), ("BtoA", 1)):
        found = decoded(client.get(f"/example?index=2&direction={direction}").get_json()["image"])
        raw = page.run.data.test_batch(2, 1)[at]
        assert raw is not None and np.abs(found - (raw[0].permute(1, 2, 0).numpy() + 1) * 127.5).max() <= 0.51


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "the request has no image"),
        ({"image": (io.BytesIO(b"no image"), "a.png")}, "image: not an image"),
        ({"image": (io.BytesIO(b""), "a.png")}, "image: empty file"),
        ({"image": png(size=(2049, 1))}, "at most 2048 pixels per side"),
        ({"image": png(), "direction": "AtoC"}, "choose one of AtoB, BtoA"),
        ({"image": png(), "n": "99"}, "1 to 16 outputs"),
        ({"image": png(), "seed": "-1"}, "seed must be a whole number"),
    ],
)
def test_wrong_uploads_are_answered_with_one_line(client: Any, data: dict[str, Any], words: str) -> None:
    answer = client.post("/translate", data=data)
    error = answer.get_json()["error"]
    assert answer.status_code == 400 and words in error and "\n" not in error and "/tmp" not in error


def test_too_many_bytes(client: Any) -> None:
    answer = client.post("/translate", data={"image": (io.BytesIO(bytes(MAX_BYTES + 1)), "a.png")})
    assert answer.status_code == 413 and "413" in answer.get_json()["error"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "127.0.0.1:8000", "Origin": "http://127.0.0.1:8000"}, 200),
        ({"Host": "evil.example"}, 403),  # a name that was bound anew to this machine
        ({"Host": "localhost:8000", "Origin": "https://evil.example"}, 403),
    ],
)
def test_pages_of_other_sites_get_nothing(client: Any, headers: dict[str, str], status: int) -> None:
    assert client.post("/translate", data={"image": png()}, headers=headers).status_code == status
    assert client.get("/elsewhere").status_code == 404


def test_colors_become_classes(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model on label maps sees the class of the nearest color, each class as one instance."""
    seen: list[Tensor] = []

    def translate(self: Any, maps: Tensor, direction: str) -> Tensor:
        seen.append(maps)
        return torch.zeros(1, 3, *maps.shape[2:])

    trained = TrainedRun(run, device="cpu")
    kind = type(trained.system)
    monkeypatch.setattr(kind, "translate", translate)
    monkeypatch.setattr(translator, "Pix2PixHDLabels", kind)  # whose models translate label maps
    monkeypatch.setattr(kind, "label_nc", 5, raising=False)
    colors = palette(5)
    image = colors[torch.arange(256).view(16, 16) % 5]
    image[0, 0] += 2  # an anti-aliased edge
    file = io.BytesIO()
    Image.fromarray(image.numpy()).save(file, format="PNG")
    file.seek(0)
    client = testing.Client(Page(trained))
    assert client.get("/about").get_json()["colors"] == [f"#{bytes(c).hex()}" for c in colors.tolist()]
    assert client.post("/translate", data={"image": (file, "a.png")}).status_code == 200
    (maps,) = seen
    assert maps.dtype == torch.int64 and torch.equal(maps[0, 0], torch.arange(256).view(16, 16) % 5)
    assert torch.equal(maps[0, 0], maps[0, 1])


def test_classes_have_colours_of_their_own() -> None:
    for classes in (2, 35, 182):
        table = palette(classes)
        assert table.shape == (classes, 3) and len(table.unique(dim=0)) == classes


@pytest.mark.parametrize("kind", [KeyboardInterrupt, Terminated])
def test_a_signal_ends_the_page(kind: type[BaseException], run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """werkzeug would take it for a good end."""

    def signalled(*_: object, **__: object) -> None:
        raise kind

    monkeypatch.setattr(socketserver.BaseServer, "serve_forever", signalled)
    assert main.main(["web", str(run), "port=0", "device=cpu"]) == (143 if kind is Terminated else 130)


def test_a_taken_port_and_a_model_of_noise(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main.main(["web", str(run), f"port={port}", "device=cpu"]) == 2
    assert f"port={port} is in use" in capsys.readouterr().err
    assert main.main(["web", str(run), "port=70000", "device=cpu"]) == 2
    assert "0 (any free one) to 65535" in capsys.readouterr().err
