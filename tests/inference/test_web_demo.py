"""The page of `gan web`: what its server answers."""

import base64
import io
import re
import socket
import socketserver
import struct
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import TINY, TINY_CYCLEGAN
from PIL import Image, ImageFile
from torch import Tensor

from gan_cli.cli import main
from gan_cli.inference import translator, web_demo
from gan_cli.inference.trained_run import TrainedRun
from gan_cli.inference.translator import palette
from gan_cli.inference.web_demo import MAX_BYTES, Page, make_server
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
    assert about["model"] == "CycleGAN" and about["directions"] == ["AtoB", "BtoA"] and about["sides"] == [16, 16]
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
        ({"image": png(), "seed": "nan"}, "seed must be a whole number"),
        ({"image": png(), "n": "9" * 5000}, "n must be a whole number"),
        ({"image": "text, no file"}, "the request has no image"),
        ({"image": png(), "style": png()}, "CycleGAN does not take its style from an image"),
    ],
)
def test_wrong_uploads_are_answered_with_one_line(client: Any, data: dict[str, Any], words: str) -> None:
    answer = client.post("/translate", data=data)
    error = answer.get_json()["error"]
    assert answer.status_code == 400 and words in error and "\n" not in error and "/tmp" not in error


def test_deep_uploads_have_the_window_of_the_run(client: Any, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in page.translators.values():
        monkeypatch.setattr(each, "_window", (0.0, 4095.0))

    def upload(value: int) -> Any:
        file = io.BytesIO()
        Image.fromarray(np.full((16, 16), value, np.uint16)).save(file, format="PNG")
        file.seek(0)
        return client.post("/translate", data={"image": (file, "a.png")}).get_json()

    assert upload(4095)["outputs"] == client.post("/translate", data={"image": png("white")}).get_json()["outputs"]
    assert "white 4095: gan translate with window=[LOW,HIGH]" in upload(4096)["error"]
    white = Image.fromarray(np.full((16, 16), 4095, np.uint16))
    assert page.translators["AtoB"].from_pil(white).unique().tolist() == [255]


def test_the_size_is_checked_before_a_pixel_is_decoded(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[object] = []
    monkeypatch.setattr(ImageFile.ImageFile, "load", decoded.append)
    answer = client.post("/translate", data={"image": png(size=(9000, 9000))})
    assert answer.status_code == 400 and "at most 2048 pixels" in answer.get_json()["error"] and not decoded


@pytest.fixture(scope="module")
def port(page: Page) -> Iterator[int]:
    """A running server."""
    server = make_server(page, 0)
    with server:
        thread = threading.Thread(target=socketserver.BaseServer.serve_forever, args=(server,), daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()


def raw(port: int, request: bytes) -> tuple[int, str]:
    """Status and body of the answer to the bytes of a request, after which nothing more is sent."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    if not answer.startswith(b"HTTP/"):  # to a request that is no HTTP there is no head: CODE: MESSAGE
        return int(answer[:3]), answer.decode()
    head, _, body = answer.decode().partition("\r\n\r\n")
    return int(head.split()[1]), body


def post(
    body: bytes = b"", *headers: str, kind: str = "multipart/form-data; boundary=x", length: object = None
) -> bytes:
    """The bytes of a request to translate."""
    lines = ["POST /translate HTTP/1.1", "Host: localhost", f"Content-Type: {kind}", *headers]
    lines += [f"Content-Length: {len(body) if length is None else length}"] if length != "" else []
    return "\r\n".join([*lines, "", ""]).encode() + body


def part(name: str, content: bytes) -> bytes:
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"; filename="a.png"\r\n\r\n'
    return head.encode() + content + b"\r\n--x--\r\n"


def bomb() -> bytes:
    """A PNG of 60,000 x 60,000 pixels in a few bytes."""
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (post(length=""), 400),
        (post(length=0), 400),
        (post(length=-5), 400),
        (post(length="abc"), 400),
        (post(b"short", length=999), 400),
        (post(length=10**12), 413),
        (post(b"no parts at all"), 400),
        (post(b"--x\r\n\r\nno name\r\n--x--\r\n"), 400),
        (post(b"x", kind="multipart/form-data"), 400),
        (post(b"x", kind="application/json"), 400),
        (post(b"image=1&n=1", kind="application/x-www-form-urlencoded"), 400),
        (post(part("image", b"no image")), 400),
        (post(part("image", b"")), 400),
        (post(part("image", png()[0].getvalue()[:-30])), 400),
        (post(part("image", bomb())), 400),
        (post(part("image", png()[0].getvalue()).replace(b"--x--", b"")), 400),
        (post(b"zz\r\n", "Transfer-Encoding: chunked", length=""), 400),
        (post(b"5\r\nabcde", "Transfer-Encoding: chunked", length=""), 400),
        (post(b"".join(part(f"f{i}", b"") for i in range(2000)).replace(b"--x--\r\n", b"")), 413),
        (post(b"", "X: " + "y" * 70_000), 431),
        (post(b"", *["X: y"] * 200), 431),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"no HTTP\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),  # the beginning of TLS
        (b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 403),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n\r\n", 403),
        (b"GET /example?index=abc HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /example?direction=%00%ff HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    ],
)
def test_a_broken_request_is_answered_with_one_line(
    request_: bytes, status: int, port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    found, body = raw(port, request_)
    assert found == status and body.strip() and "\n" not in body.strip() and "<" not in body
    assert capfd.readouterr() == ("", "")
    assert raw(port, b"GET /about HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] == 200


def test_a_defect_is_answered_with_one_line(client: Any, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "about", lambda: {}["key"])
    answer = client.get("/about")
    assert answer.status_code == 500 and answer.get_json()["error"] == "unexpected KeyError: 'key'"


def test_requests_at_once_give_what_each_gives_alone(port: int) -> None:
    requests = [post(part("image", png(color)[0].getvalue())) for color in ("red", "teal", "white", "black")]
    alone = [raw(port, request) for request in requests]
    assert [status for status, _ in alone] == [200] * 4 and len({body for _, body in alone}) == 4
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda request: raw(port, request), requests * 4)) == alone * 4


def test_a_request_that_never_ends_is_given_up(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_demo, "TIMEOUT", 1)
    server = make_server(page, 0)
    threading.Thread(target=socketserver.BaseServer.serve_forever, args=(server,), daemon=True).start()
    port = server.server_port
    with server, socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(post(length=100))
        assert raw(port, b"GET /about HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] == 200  # others do not wait
        assert b" 400 " in connection.recv(1000)
        server.shutdown()


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
