"""A local stand-in of the hub: those endpoints that huggingface_hub uses to make, fill and read repositories."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

WRITER, READER = "hf_writerwriterwriter", "hf_readerreaderreader"
BINARY = (".safetensors", ".png", ".pt")


@dataclass
class Repository:
    """files: of the newest revision; lfs: names of those that are stored by their hash. declared: sizes to be lied
    about.
    """

    private: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    lfs: set[str] = field(default_factory=set)
    declared: dict[str, int] = field(default_factory=dict)
    served: dict[str, bytes] = field(default_factory=dict)

    @property
    def sha(self) -> str:
        return hashlib.sha1(repr(sorted(self.files.items())).encode()).hexdigest()


class Hub(ThreadingHTTPServer):
    """repositories: name -> content. requests: "METHOD path" in order. fails: status of every answer, if set."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.fails = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        pass

    def reply(self, status: int, content: Any = b"", **headers: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def missing(self, what: str) -> None:
        self.reply(404 if what != "Repo" else 401, {"error": "not found"}, X_Error_Code=f"{what}NotFound")

    def token(self) -> str:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def handle_request(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path).strip("/")
        self.server.requests.append(f"{self.command} /{path}")
        if self.server.fails:
            return self.reply(self.server.fails, {"error": "failed"})
        if path.startswith("objects/"):
            self.server.objects[path.removeprefix("objects/")] = body
            return self.reply(200)
        if path == "verify":
            return self.reply(200)
        if path == "api/validate-yaml":
            return self.reply(200, {"errors": [], "warnings": []})
        if self.command == "POST" and self.token() != WRITER:
            return self.reply(403 if self.token() == READER else 401, {"error": "forbidden"})
        if path == "api/repos/create":
            return self.create(json.loads(body))
        parts = path.removeprefix("api/models/").replace(".git/", "/").split("/")
        name, rest = "/".join(parts[:2]), parts[2:]
        repository = self.server.repositories.get(name)
        if repository is None or (repository.private and not self.token()):
            return self.missing("Repo")
        action = rest[0] if rest else "revision"
        return getattr(self, f"do_{action}")(name, repository, rest[1:], body)

    do_GET = do_POST = do_PUT = do_HEAD = handle_request

    def create(self, wanted: dict[str, Any]) -> None:
        name = f"{wanted.get('organization') or 'writer'}/{wanted['name']}"
        exists = name in self.server.repositories
        private = wanted.get("visibility") == "private" or bool(wanted.get("private"))
        self.server.repositories.setdefault(name, Repository(private))
        self.reply(409 if exists else 200, {"url": f"{self.server.url}/{name}", "name": name})

    def do_tree(self, name: str, repository: Repository, rest: list[str], body: bytes) -> None:
        self.reply(200, [{"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                         for path, content in repository.files.items()])  # fmt: skip

    def do_preupload(self, name: str, repository: Repository, rest: list[str], body: bytes) -> None:
        self.reply(200, {"files": [
            {"path": file["path"], "uploadMode": "lfs" if file["path"].endswith(BINARY) else "regular",
             "shouldIgnore": False}
            for file in json.loads(body)["files"]
        ]})  # fmt: skip

    def do_info(self, name: str, repository: Repository, rest: list[str], body: bytes) -> None:
        """info/lfs/objects/batch"""
        self.reply(200, {"transfer": "basic", "objects": [
            {**one, "actions": {"upload": {"href": f"{self.server.url}/objects/{one['oid']}"},
                                "verify": {"href": f"{self.server.url}/verify"}}}
            for one in json.loads(body)["objects"]
        ]}, Content_Type="application/vnd.git-lfs+json")  # fmt: skip

    def do_commit(self, name: str, repository: Repository, rest: list[str], body: bytes) -> None:
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repository.files[value["path"]] = self.server.objects[value["oid"]]
                repository.lfs.add(value["path"])
        url = f"{self.server.url}/{name}/commit/{repository.sha}"
        self.reply(200, {"commitUrl": url, "commitOid": repository.sha, "hookOutput": ""})

    def do_revision(self, name: str, repository: Repository, rest: list[str], body: bytes) -> None:
        if rest and rest[0] not in ("main", repository.sha):
            self.missing("Revision")
            return
        siblings = []
        for path, content in repository.files.items():
            size = repository.declared.get(path, len(content))
            lfs = {"sha256": hashlib.sha256(content).hexdigest(), "size": size, "pointerSize": 100}
            own = {"rfilename": path, "size": size, "blobId": "0" * 40}
            siblings.append(own | ({"lfs": lfs} if path in repository.lfs else {}))
        self.reply(200, {"id": name, "modelId": name, "sha": repository.sha, "private": repository.private,
                         "tags": [], "downloads": 0, "likes": 0, "siblings": siblings})  # fmt: skip

    def do_resolve(self, name: str, repository: Repository, rest: list[str], body: bytes) -> None:
        path = "/".join(rest[1:])
        if path not in repository.files:
            self.missing("Entry")
            return
        content = repository.served.get(path, repository.files[path])
        etag = f'"{hashlib.sha256(repository.files[path]).hexdigest()}"'
        self.reply(200, content, X_Repo_Commit=repository.sha, ETag=etag, X_Linked_Etag=etag,
                   X_Linked_Size=str(len(content)))  # fmt: skip


@contextmanager
def running() -> Iterator[Hub]:
    """The stand-in, in a thread."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join(5)
