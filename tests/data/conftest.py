"""Folders of images that several tests of data sets read."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import save_plain, save_ramp

from gan_cli.utils import downloads


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of decoded images and downloads."""
    monkeypatch.setenv("GAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """All addresses and folders count as typed on the command line."""
    monkeypatch.setattr(downloads, "_typed", lambda text: True)


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """20 images in 2 classes; gray value = 10 * number, 100 and more in the second class."""
    for number in range(20):
        path = tmp_path / "set" / ("cat" if number < 10 else "dog") / f"{number}.png"
        save_plain(path, (10 * number,) * 3, (12, 30))
    return tmp_path / "set"


@pytest.fixture
def domains(tmp_path: Path) -> Path:
    """The red of an image is its number, 100 and more in the second domain."""
    for folder, count in {"trainA": 7, "trainB": 11, "testA": 2, "testB": 3}.items():
        for number in range(count):
            save_ramp(tmp_path / "pair" / folder / f"{number}.png", number + (100 if folder.endswith("B") else 0))
    return tmp_path / "pair"


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the current folder; /to/ADDRESS redirects; /long announces more than there is."""

    def do_GET(self) -> None:
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
        elif self.path.startswith("/long"):
            self.send_response(200)
            self.send_header("Content-Length", "9" * int(self.path[5:]))
            self.end_headers()
            self.wfile.write(b"text")
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.chdir(tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        thread = threading.Thread(target=served.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()
