"""What `gan push` and `gan pull` share: the files of a published run, the hub's library, and its errors in one line."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from gan_cli import __version__
from gan_cli.utils.errors import GanError
from gan_cli.utils.files import write_text

if TYPE_CHECKING:
    from huggingface_hub import HfApi

LOGIN = "`hf auth login` or HF_TOKEN=... gives one"
NO_TOKEN = f"no token: {LOGIN}, with the right to write"
CARD, WEIGHTS = "README.md", "model.safetensors"


class Kind(NamedTuple):
    """A kind of file of a published run. name: a pattern; what: in words; limit: bytes; most: files of this kind."""

    name: str
    what: str
    limit: int
    most: int = 1
    required: bool = False


KINDS = (
    Kind(r"README\.md", "model card", 2**20),
    Kind(r"config\.yaml", "settings", 2**18, required=True),
    Kind(r"provenance\.json", "versions, command, choices", 2**24, required=True),
    Kind(r"model\.safetensors", "weights of all networks", 2**35, required=True),
    Kind(r"evaluation\.jsonl", "scores", 2**24),
    Kind(r"metrics\.jsonl", "losses and scores during training", 2**26),
    Kind(r"samples/\d{6,9}\.png", "samples", 2**26, most=8),
)
"""All that is uploaded, and all that is taken."""


def kind_of(name: str) -> Kind | None:
    return next((kind for kind in KINDS if re.fullmatch(kind.name, name)), None)


def write_records(
    folder: Path, records: Sequence[Mapping[str, Any]], lines: Sequence[Mapping[str, Any]]
) -> None:
    """Write evaluation.jsonl and metrics.jsonl, those that have lines. OSError if that fails."""
    for name, content in (("evaluation.jsonl", records), ("metrics.jsonl", lines)):
        if content:
            write_text(folder / name, "".join(json.dumps(line) + "\n" for line in content))


def client() -> ModuleType:
    """huggingface_hub. GanError if it or safetensors is not installed."""
    try:
        import huggingface_hub
        import safetensors.torch  # noqa: F401
    except ImportError as error:
        raise GanError(f"this needs {error.name}: pip install 'gan-cli[hub]'") from None
    for name in ("httpx", "httpx2"):  # each request would be a line if Hydra has set up logging in this process
        logging.getLogger(name).setLevel(logging.WARNING)
    return huggingface_hub


def api() -> HfApi:
    """The hub that HF_ENDPOINT names, or the public one; with the token of `hf auth login` or HF_TOKEN, if any."""
    endpoint = os.environ.get("HF_ENDPOINT") or None
    return client().HfApi(endpoint=endpoint, library_name="gan-cli", library_version=__version__)


def check_name(repo_id: str, owned: bool = False) -> None:
    """Raise GanError unless `repo_id` is USER/NAME or, unless it must be `owned`, NAME."""
    part = r"\w(?:[\w-]|\.(?!\.))*"
    form = f"{part}/{part}" if owned else f"({part}/)?{part}"
    if len(repo_id) > 96 or not re.fullmatch(form, repo_id, re.ASCII) or repo_id.endswith(".git"):
        raise GanError(f"{repo_id!r:.100} is no name of a repository: write USER/NAME")


@contextmanager
def explained(repo_id: str, verb: str) -> Iterator[None]:
    """Turn errors of the hub's library into a GanError.

    Its own messages are not repeated: one about a header may quote the token.
    """
    try:
        yield
    except GanError:
        raise
    except Exception as error:  # of its own and of an HTTP library that depends on its version
        names = {base.__name__ for base in type(error).__mro__}
        status = getattr(getattr(error, "response", None), "status_code", None)
        reason = _reason(names, status, repo_id, verb)
        if reason is None:
            raise
        raise GanError(f"{repo_id}: {reason}") from None


def _reason(names: set[str], status: int | None, repo_id: str, verb: str) -> str | None:
    """The problem and its remedy; None for an error that is not the hub's."""
    if "LocalTokenNotFoundError" in names:
        return NO_TOKEN
    if "OfflineModeIsEnabled" in names:
        return "HF_HUB_OFFLINE forbids the network: unset it"
    if "GatedRepoError" in names:
        return f"its owner grants access on request: ask on its page, and give a token; {LOGIN}"
    if "RevisionNotFoundError" in names:
        return "there is no such revision; omit revision= for the newest"
    if status == 401 or "RepositoryNotFoundError" in names:
        wrong = f"there is no such repository, or it is private and needs a token: {LOGIN}"
        return f"the token is missing or refused: {LOGIN}, with the right to write" if verb == "push" else wrong
    if status == 403:
        return "the token may not do this: give one with the right to write, or name a repository of your own"
    if "EntryNotFoundError" in names or status == 404:
        return "the hub has not found it; check the name"
    if status is not None:
        return f"the hub answered {status}: try again later"
    if "HFValidationError" in names:
        return "this is no name of a repository: write USER/NAME"
    if names & {"LocalProtocolError", "UnicodeEncodeError"}:
        return f"the token holds characters that no token has: {LOGIN}"
    if names & {"TransportError", "ConnectionError", "TimeoutError"} or "LocalEntryNotFoundError" in names:
        return "the hub cannot be reached: check the network, and HF_ENDPOINT if it is set"
    if names & {"HfHubHTTPError", "FileMetadataError", "HTTPError"}:
        return "the hub has not answered as expected: try again later"
    return None
