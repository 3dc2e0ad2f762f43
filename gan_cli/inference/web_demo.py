"""`gan edit`: a page on this machine on which pictures or label maps are painted and translated after each stroke."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from socketserver import BaseServer
from typing import Any

import torch
from torch import Tensor

from gan_cli.data.image_files import decode
from gan_cli.inference.sampling import Trained
from gan_cli.inference.tiling import Fit
from gan_cli.inference.translation import OUTPUTS, Translator, palette
from gan_cli.utils import images
from gan_cli.utils.errors import GanError, one_line

HOSTS = ("127.0.0.1", "localhost")
MOST_BYTES, MOST_OUTPUTS, LONGEST_SIDE = 32 * 2**20, 16, 2048


def edit(
    run_dir: Path,
    *,
    port: int = 8000,
    direction: str | None = None,
    checkpoint: str = "last",
    weights: str = "auto",
    device: str = "auto",
    allowed_modules: Sequence[str] = (),
) -> None:
    """Serve the page at http://127.0.0.1:`port` until Ctrl+C. GanError if the game translates nothing, or the port is
    taken.
    """
    if not 0 <= port < 2**16:
        raise GanError(f"port={port}: a number from 0 (any free one) to 65535")
    try:
        from werkzeug.serving import WSGIRequestHandler, make_server
    except ImportError:
        raise GanError("gan edit needs werkzeug: pip install 'gan-cli[web]'") from None
    run = Trained(run_dir, checkpoint=checkpoint, weights=weights, device=device, allowed_modules=allowed_modules)
    page = Page(run, run_dir, direction)
    quiet = type("Quiet", (WSGIRequestHandler,), {"log_request": lambda *_: None})  # a line for each stroke otherwise
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            server = make_server("127.0.0.1", port, page, threaded=True, request_handler=quiet)
    except (OSError, SystemExit):  # werkzeug prints, and leaves
        raise GanError(f"port={port} is taken on this machine; name another, or port=0 for any") from None
    print(f"http://127.0.0.1:{server.server_port} paints for {run_dir}; Ctrl+C ends it", flush=True)
    with server:
        BaseServer.serve_forever(server)  # werkzeug's own swallows what a signal raises


class Refused(Exception):
    """What a browser is told in one line, with an HTTP status."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Page:
    """A WSGI application: `/` the page, `/about` what the run can do, `/example` a held-out input, `/translate`.

    Answers are JSON; a mistake is {"error": one line} with status 400, or 403 to a page of another site.
    """

    def __init__(self, run: Trained, path: Path, direction: str | None = None) -> None:
        first = Translator(run, direction, path)
        self.run, self.path, self.direction = run, path, first.direction
        self.translators = {name: Translator(run, name, path) for name in first.directions}
        self.colours = palette(first.classes) if first.classes else None
        self.lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        from werkzeug.exceptions import HTTPException
        from werkzeug.wrappers import Request, Response

        request = Request(environ)
        request.max_content_length = MOST_BYTES
        try:
            response = Response(*self.answer(request))
        except Refused as error:
            response = _json({"error": one_line(error)}, error.status)
        except (GanError, ValueError, RuntimeError, OSError) as error:
            response = _json({"error": one_line(error)}, 400)
        except HTTPException as error:
            response = _json({"error": f"{error.code}: {error.name}"}, error.code or 400)
        response.headers["Cache-Control"] = "no-store"
        return response(environ, start_response)

    def answer(self, request: Any) -> tuple[bytes | str, int, dict[str, str]]:
        """Body, status and headers."""
        origin = request.headers.get("Origin", "")
        if request.host.partition(":")[0] not in HOSTS or (origin and origin.partition("//")[2] != request.host):
            raise Refused("this page answers to its own machine alone", 403)
        where = (request.method, request.path)
        if where == ("GET", "/"):
            html = (Path(__file__).parent / "web_demo.html").read_bytes()
            return html, 200, {"Content-Type": "text/html; charset=utf-8"}
        if where == ("GET", "/about"):
            return _body(self.about())
        if where == ("GET", "/example"):
            return _body({"image": self.example(request.args.get("direction"), _whole(request.args, "index", 0))})
        if where == ("POST", "/translate"):
            return _body(self.translate(request.form, request.files))
        raise Refused(f"no {request.path} here", 404)

    def about(self) -> dict[str, Any]:
        translator = self.translators[self.direction]
        return {
            "run": str(self.path),
            "game": type(self.run.system).__name__,
            "iteration": self.run.iteration,
            "directions": list(self.translators),
            "direction": self.direction,
            "size": translator.own,
            "outputs": OUTPUTS if translator.multimodal else 1,
            "style": hasattr(self.run.system, "transfer") and self.colours is None,
            "colours": None if self.colours is None else [f"#{bytes(row).hex()}" for row in self.colours.tolist()],
        }

    def example(self, direction: str | None, index: int) -> str:
        """A held-out input of `direction`, as a data URL."""
        translator = self._translator(direction)
        batch: Any = self.run.data.test_batch(index, 1)
        if self.colours is not None:
            return data_url(translator.shown(batch[0]))
        source = batch[type(self.run.system).directions.index(translator.direction) if len(self.translators) > 1 else 0]
        return data_url(images.to_uint8(source, translator.value_range)[0])

    def translate(self, form: Any, files: Any) -> dict[str, Any]:
        """The outputs of the uploaded picture, as data URLs."""
        translator = self._translator(form.get("direction"))
        seed, n = _whole(form, "seed", 0), _whole(form, "n", 1)
        if not 1 <= n <= MOST_OUTPUTS:
            raise Refused(f"n={n}: 1 to {MOST_OUTPUTS} outputs")
        fit = Fit(translator.own, labels=self.colours is not None)
        style = None
        with self.lock, self.run.test_mode(seed):
            if self.colours is not None:
                image = self.paint(self.upload(files, "image", 3))
            else:
                image = translator.scale(self.upload(files, "image", translator.channels)[None])
                if "style" in files:
                    style = translator.scale(self.upload(files, "style", translator.channels)[None])
            results = [translator(fit, image, seed + i, style) for i in range(n)]
        how = results[0][1]
        shown = [data_url(images.to_uint8(result, translator.value_range)[0]) for result, _ in results]
        return {"outputs": shown, "how": how}

    def paint(self, picture: Tensor) -> Tensor:
        """A picture in the colours of the classes, uint8 (3,H,W) -> label maps (1,2,H,W), each class one instance."""
        assert self.colours is not None
        labels = torch.cdist(picture.flatten(1).T.float(), self.colours.float()).argmin(1).view(picture.shape[1:])
        return torch.stack([labels, labels])[None].float().to(self.run.device)

    def upload(self, files: Any, name: str, channels: int) -> Tensor:
        """uint8 (channels, H, W) of an uploaded file."""
        if name not in files:
            raise Refused(f"no {name} came")
        with tempfile.NamedTemporaryFile() as file:
            files[name].save(file)
            file.flush()
            try:
                pixels = decode(Path(file.name), channels)
            except ValueError as error:
                raise Refused(f"{name}: {str(error).removeprefix(file.name + ': ')}") from error
        if max(pixels.shape[1:]) > LONGEST_SIDE:
            raise Refused(f"{name}: {LONGEST_SIDE} pixels a side at most; gan translate takes larger ones")
        return pixels

    def _translator(self, direction: str | None) -> Translator:
        name = direction or self.direction
        if name not in self.translators:
            raise Refused(f"direction={name}: choose one of {', '.join(self.translators)}")
        return self.translators[name]


def data_url(picture: Tensor) -> str:
    """uint8 (1|3,H,W) -> data:image/png;base64,..."""
    from PIL import Image

    array = picture.permute(1, 2, 0).contiguous().numpy()
    file = io.BytesIO()
    Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array).save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _whole(words: Any, key: str, default: int) -> int:
    text = words.get(key, str(default))
    if not (text.isdecimal() and len(text) < 10):
        raise Refused(f"{key} must be a whole number, not '{text[:20]}'")
    return int(text)


def _body(value: Any) -> tuple[str, int, dict[str, str]]:
    return json.dumps(value), 200, {"Content-Type": "application/json"}


def _json(value: Any, status: int) -> Any:
    from werkzeug.wrappers import Response

    return Response(json.dumps(value), status, {"Content-Type": "application/json"})
