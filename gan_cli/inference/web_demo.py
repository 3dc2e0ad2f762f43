"""`gan web`: a local web page to paint or load an image and see its translation after each stroke."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from socketserver import BaseServer
from typing import Any

import torch
from torch import Tensor

from gan_cli.data.image_files import Window, opened, read
from gan_cli.inference.tiling import SizeAdapter
from gan_cli.inference.trained_run import TrainedRun
from gan_cli.inference.translator import DEFAULT_OUTPUTS, Translator, palette, to_pixels
from gan_cli.utils import images
from gan_cli.utils.errors import GanError, one_line
from gan_cli.utils.image_size import sides

HOSTS = ("127.0.0.1", "localhost")
MAX_BYTES, MAX_OUTPUTS, MAX_SIDE = 32 * 2**20, 16, 2048
TIMEOUT = 30  # seconds without a byte of an unfinished request


def serve(
    run_dir: Path,
    *,
    port: int = 8000,
    direction: str | None = None,
    checkpoint: str = "last",
    weights: str = "auto",
    device: str = "auto",
    allowed_modules: Sequence[str] = (),
    dataset_root: str | None = None,
) -> None:
    """Serve the page at http://127.0.0.1:`port` until Ctrl+C.

    port: 0 for any free one. Other options as in `TrainedRun`. GanError if the model does not translate images, or the
    port is in use.
    """
    if not 0 <= port < 2**16:
        raise GanError(f"port={port}: a number from 0 (any free one) to 65535")
    try:
        import werkzeug  # noqa: F401
    except ImportError:
        raise GanError("gan web needs werkzeug: pip install 'gan-cli[web]'") from None
    run = TrainedRun(run_dir, checkpoint=checkpoint, weights=weights, device=device, allowed_modules=allowed_modules)
    page = Page(run, direction)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            server = make_server(page, port)
    except (OSError, SystemExit):  # werkzeug prints its own message and exits
        raise GanError(f"port={port} is in use on this machine; name another, or port=0 for any free one") from None
    print(f"http://127.0.0.1:{server.server_port} serves {run_dir}; press Ctrl+C to stop", flush=True)
    with server:
        BaseServer.serve_forever(server)  # werkzeug's own loop swallows KeyboardInterrupt


def make_server(page: Page, port: int) -> Any:
    """werkzeug's server of the page, which answers each request in a thread of its own and prints nothing."""
    from werkzeug import serving

    class Handler(serving.WSGIRequestHandler):
        timeout = TIMEOUT  # or a request that never ends would hold its thread for ever
        # What http.server answers itself, such as a request line that is no HTTP: one line too.
        error_message_format, error_content_type = "%(code)d: %(message)s\n", "text/plain"

        def log(self, type: str, message: str, *args: Any) -> None:
            """Print nothing: by default a line per stroke, and the text of every broken request."""

    return serving.make_server("127.0.0.1", port, page, threaded=True, request_handler=Handler)


class RequestError(Exception):
    """A mistake in a request: one line for the browser, and an HTTP status."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Page:
    """WSGI application: `/` the page, `/about` what the run can do, `/example` a held-out input, `/translate`.

    Responses are JSON; an error is {"error": one line} with status 400, 403 for a request from another site, or 413 for
    too many bytes.
    """

    def __init__(self, run: TrainedRun, direction: str | None = None) -> None:
        first = Translator(run, direction)
        self.run, self.direction = run, first.direction
        self.translators = {name: Translator(run, name) for name in first.directions}
        self.colors = palette(first.classes) if first.classes else None
        most = max(max(each.channels, each.format.channels) for each in self.translators.values())
        if most > 4:
            raise GanError(f"a web page cannot show images of {most} channels: use `gan translate`")
        self.lock = threading.Lock()  # the random state and the model's mode are shared between requests

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        from werkzeug.exceptions import HTTPException
        from werkzeug.wrappers import Request, Response

        request = Request(environ)
        request.max_content_length = MAX_BYTES
        try:
            response = Response(*self.respond(request))
        except RequestError as error:
            response = _json({"error": one_line(error)}, error.status)
        except (GanError, ValueError, RuntimeError, OSError, MemoryError) as error:
            response = _json({"error": one_line(error)}, 400)
        except HTTPException as error:
            response = _json({"error": f"{error.code}: {error.name}"}, error.code or 400)
        except Exception as error:  # a defect of this program; the server goes on, and prints no traceback
            response = _json({"error": f"unexpected {type(error).__name__}: {one_line(error)}"}, 500)
        response.headers["Cache-Control"] = "no-store"
        return response(environ, start_response)

    def respond(self, request: Any) -> tuple[bytes | str, int, dict[str, str]]:
        """Body, status and headers of the response."""
        # Any page in the browser could send requests to this port; only this page's own are served.
        origin = request.headers.get("Origin", "")
        if request.host.partition(":")[0] not in HOSTS or (origin and origin.partition("//")[2] != request.host):
            raise RequestError("this page answers requests of its own machine only", 403)
        route = (request.method, request.path)
        if route == ("GET", "/"):
            html = (Path(__file__).parent / "web_demo.html").read_bytes()
            return html, 200, {"Content-Type": "text/html; charset=utf-8"}
        if route == ("GET", "/about"):
            return _body(self.about())
        if route == ("GET", "/example"):
            index = _whole_number(request.args, "index", 0)
            return _body({"image": self.example(request.args.get("direction"), index)})
        if route == ("POST", "/translate"):
            return _body(self.translate(request.form, request.files))
        raise RequestError(f"no {request.path} here", 404)

    def about(self) -> dict[str, Any]:
        translator = self.translators[self.direction]
        return {
            "run": str(self.run.path),
            "model": self.run.name,
            "iteration": self.run.iteration,
            "directions": list(self.translators),
            "direction": self.direction,
            "sides": sides(translator.native_size),
            "outputs": DEFAULT_OUTPUTS if translator.multimodal else 1,
            "style": translator.takes_style,
            "colors": None if self.colors is None else [f"#{bytes(row).hex()}" for row in self.colors.tolist()],
        }

    def example(self, direction: str | None, index: int) -> str:
        """A held-out input of `direction`, as a data URL."""
        translator = self._translator(direction)
        with self.lock:  # the data set is built at its first use
            batch: Any = self.run.data.test_batch(index, 1)
        if self.colors is not None:
            return data_url(translator.preview(batch[0][0]))
        side = self.run.system.directions.index(translator.direction) if len(self.translators) > 1 else 0
        source = batch[side]
        return data_url(images.to_uint8(source, translator.value_range)[0])

    def translate(self, form: Any, files: Any) -> dict[str, Any]:
        """The outputs of the uploaded image, as data URLs, and how the image was adapted to the network."""
        translator = self._translator(form.get("direction"))
        seed, n = _whole_number(form, "seed", 0), _whole_number(form, "n", 1)
        if not 1 <= n <= MAX_OUTPUTS:
            raise RequestError(f"n={n}: 1 to {MAX_OUTPUTS} outputs")
        if "style" in files and not translator.takes_style:
            raise RequestError(f"{self.run.name} does not take its style from an image: send no style")
        adapter = SizeAdapter(translator.native_size, labels=self.colors is not None)
        pixels = self.upload(files, "image", translator.channels if self.colors is None else 3, translator.window)
        example = self.upload(files, "style", translator.channels, translator.window) if "style" in files else None
        with self.lock, self.run.test_mode(seed):
            image = pixels if self.colors is None else self.to_label_map(pixels)
            style = None if example is None else translator.style(example)
            results = [translator(adapter, image, seed + i, style) for i in range(n)]
        return {"outputs": [data_url(output) for output, _ in results], "adaptation": results[0][1]}

    def to_label_map(self, image: Tensor) -> Tensor:
        """An image in the colors of the classes, uint8 (3, H, W), as int64 (2, H, W): the class of the nearest color,
        and the class again as its instance.
        """
        assert self.colors is not None
        labels = torch.cdist(image.flatten(1).T.float(), self.colors.float()).argmin(1).view(image.shape[1:])
        return torch.stack([labels, labels])

    def upload(self, files: Any, name: str, channels: int, window: Window) -> Tensor:
        """uint8 (channels, H, W) of an uploaded file."""
        if name not in files:
            raise RequestError(f"the request has no {name}")
        content = io.BytesIO(files[name].read())
        try:
            with opened(name, content) as header:  # its size is known before a pixel is decoded
                if max(header.size) > MAX_SIDE:
                    raise RequestError(f"{name}: at most {MAX_SIDE} pixels per side; gan translate takes larger ones")
            return to_pixels(read(name, channels, content.getvalue(), window))
        except ValueError as error:
            raise RequestError(str(error).replace("dataset.window", "gan translate with window")) from error

    def _translator(self, direction: str | None) -> Translator:
        name = direction or self.direction
        if name not in self.translators:
            raise RequestError(f"direction={name}: choose one of {', '.join(self.translators)}")
        return self.translators[name]


def data_url(image: Tensor) -> str:
    """uint8 (1|3, H, W) -> data:image/png;base64,..."""
    file = io.BytesIO()
    images.to_pil(image).save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _whole_number(words: Any, key: str, default: int) -> int:
    text = words.get(key, str(default))
    if not (text.isdecimal() and len(text) < 10):
        raise RequestError(f"{key} must be a whole number, not '{text[:20]}'")
    return int(text)


def _body(value: Any) -> tuple[str, int, dict[str, str]]:
    return json.dumps(value), 200, {"Content-Type": "application/json"}


def _json(value: Any, status: int) -> Any:
    from werkzeug.wrappers import Response

    return Response(json.dumps(value), status, {"Content-Type": "application/json"})
