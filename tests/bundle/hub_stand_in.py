"""A stand-in for the Hugging Face Hub on the loopback: the few endpoints that a push and a pull use."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_of_the_test"


@dataclass
class StandIn:
    """What the server holds.

    Attributes:
        url: where it answers.
        repositories: files by name, by "USER/REPO".
        private: repositories that only the token may see.
        refuse: "METHOD path" (a regular expression) -> status to answer with.
        seen: "METHOD path" of each request.
        summaries: of the commits.
    """

    url: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    refuse: dict[str, int] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    summaries: list[str] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)

    def sha(self, repository: str) -> str:
        """A commit that depends on the content."""
        text = repr(
            sorted((k, hashlib.sha1(v).hexdigest()) for k, v in self.repositories[repository].items())
        )
        return hashlib.sha1(text.encode()).hexdigest()


@contextmanager
def serving() -> Iterator[StandIn]:
    """Serve until the block ends."""
    hub = StandIn()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: StandIn
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(self._chunks())
        request = f"{self.command} {path}"
        self.hub.seen.append(request)
        for pattern, status in self.hub.refuse.items():
            if re.fullmatch(pattern, request):
                return self._send(status, {"error": f"refused with {status}"})
        for pattern, method in _ROUTES:
            if found := re.fullmatch(pattern, request):
                return method(self, body, *found.groups())
        return self._send(404, {"error": f"no such endpoint: {request}"})

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().strip() or b"0", 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _send(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for key, text in (headers or {}).items():
            self.send_header(key, text)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    @property
    def _known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _whoami(self, body: bytes) -> None:
        if self._known:
            return self._send(
                200, {"type": "user", "name": "ada", "orgs": [], "auth": {"type": "access_token"}}
            )
        return self._send(401, {"error": "Invalid credentials in Authorization header"})

    def _create(self, body: bytes) -> None:
        asked = json.loads(body)
        repository = f"{asked.get('organization') or 'ada'}/{asked['name']}"
        if not self._known:
            return self._send(401, {"error": "Invalid credentials"})
        answer = {"url": f"{self.hub.url}/{repository}", "name": repository, "id": repository}
        if repository in self.hub.repositories:
            return self._send(409, {"error": "You already created this model repo", **answer})
        self.hub.repositories[repository] = {}
        if asked.get("private") or asked.get("visibility") == "private":
            self.hub.private.add(repository)
        return self._send(200, answer)

    def _validate(self, body: bytes) -> None:
        self._send(200, {"errors": [], "warnings": []})

    def _preupload(self, body: bytes, repository: str, revision: str) -> None:
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(body)["files"]
        ]
        self._send(200, {"files": files})

    def _batch(self, body: bytes, repository: str) -> None:
        objects = [
            {
                **asked,
                "authenticated": True,
                "actions": {"upload": {"href": f"{self.hub.url}/lfs/{asked['oid']}"}},
            }
            for asked in json.loads(body)["objects"]
        ]
        self._send(200, {"transfer": "basic", "objects": objects})

    def _upload(self, body: bytes, oid: str) -> None:
        assert hashlib.sha256(body).hexdigest() == oid
        self.hub.objects[oid] = body
        self._send(200, {})

    def _commit(self, body: bytes, repository: str, revision: str) -> None:
        if not self._known:
            return self._send(401, {"error": "Invalid credentials"})
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                self.hub.summaries.append(value["summary"])
            elif item["key"] == "file":
                self.hub.repositories[repository][value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                self.hub.repositories[repository][value["path"]] = self.hub.objects[value["oid"]]
        sha = self.hub.sha(repository)
        url = f"{self.hub.url}/{repository}/commit/{sha}"
        return self._send(200, {"success": True, "commitUrl": url, "commitOid": sha})

    def _visible(self, repository: str) -> bool:
        if repository in self.hub.repositories and (self._known or repository not in self.hub.private):
            return True
        self._send(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        return False

    def _about(self, body: bytes, repository: str, revision: str | None = None) -> None:
        if not self._visible(repository):
            return
        sha = self.hub.sha(repository)
        if revision not in (None, "main", sha):
            self._send(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
            return
        files = [
            {"rfilename": name, "size": len(content)}
            for name, content in self.hub.repositories[repository].items()
        ]
        about = {"_id": "1", "id": repository, "modelId": repository, "sha": sha, "siblings": files}
        self._send(200, {**about, "private": repository in self.hub.private, "tags": [], "downloads": 0})

    def _resolve(self, body: bytes, repository: str, revision: str, name: str) -> None:
        if not self._visible(repository):
            return
        content = self.hub.repositories[repository].get(name)
        headers = {"X-Repo-Commit": self.hub.sha(repository)}
        if content is None:
            self._send(404, {"error": "Entry not found"}, {**headers, "X-Error-Code": "EntryNotFound"})
            return
        self._send(200, content, {**headers, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'})


_NAME = r"([^/]+/[^/]+)"
_ROUTES = (
    (r"GET /api/whoami-v2", _Handler._whoami),
    (r"POST /api/repos/create", _Handler._create),
    (r"POST /api/validate-yaml", _Handler._validate),
    (rf"POST /api/models/{_NAME}/preupload/([^/]+)", _Handler._preupload),
    (rf"POST /{_NAME}\.git/info/lfs/objects/batch", _Handler._batch),
    (r"PUT /lfs/([0-9a-f]+)", _Handler._upload),
    (rf"POST /api/models/{_NAME}/commit/([^/]+)", _Handler._commit),
    (rf"GET /api/models/{_NAME}", _Handler._about),
    (rf"GET /api/models/{_NAME}/revision/([^/]+)", _Handler._about),
    (rf"(?:GET|HEAD) /{_NAME}/resolve/([^/]+)/(.+)", _Handler._resolve),
)
