"""The API server, as the person and the measuring see it: HTTP/1.1 with the cluster's admin certificate."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Object = dict[str, Any]
JSON = "application/json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
RECONNECTS = 3


class Refused(Exception):
    """The API server answered with an error."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text[:400]}")
        self.code = code


class Failure(Exception):
    """Something that ends a phase, told to the person in one line."""


def path(resource: str, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """`deployments.apps/v1`-like resources to a path: "apps/v1/deployments", "v1/services"."""
    group_version, plural = resource.rsplit("/", 1)
    base = f"/apis/{group_version}" if "/" in group_version else f"/api/{group_version}"
    parts = [base]
    if namespace:
        parts += ["namespaces", namespace]
    parts += [plural, *([name] if name else []), *([subresource] if subresource else [])]
    return "/".join(parts)


class Api:
    """One for the process; each thread has a connection of its own."""

    def __init__(self, server: str, pki: Path) -> None:
        self.server = server
        self.pki = pki
        self.local = threading.local()
        self.tls = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self.tls.load_cert_chain(pki / "admin.crt", pki / "admin.key")

    def connect(self, seconds: float = 60) -> http.client.HTTPSConnection:
        at = urlsplit(self.server)
        return http.client.HTTPSConnection(at.hostname or "", at.port, context=self.tls, timeout=seconds)

    def request(self, method: str, where: str, body: object = None, kind: str = JSON, accept: str = JSON) -> Object:
        data = None if body is None else json.dumps(body).encode()
        for tries in range(RECONNECTS):
            connection = getattr(self.local, "connection", None)
            if connection is None:
                connection = self.local.connection = self.connect()
            try:
                connection.request(method, where, data, {"Content-Type": kind, "Accept": accept})
                answer = connection.getresponse()
                text = answer.read()
                break
            except (http.client.HTTPException, OSError):
                connection.close()
                self.local.connection = None
                if tries + 1 == RECONNECTS:
                    raise
        if answer.status >= 300:
            raise Refused(answer.status, text.decode(errors="replace"))
        found: Object = json.loads(text)
        return found

    def get(self, where: str, accept: str = JSON) -> Object:
        return self.request("GET", where, accept=accept)

    def find(self, where: str) -> Object | None:
        try:
            return self.get(where)
        except Refused as refused:
            if refused.code == 404:
                return None
            raise

    def create(self, where: str, body: Object) -> Object:
        return self.request("POST", where, body)

    def merge(self, where: str, body: Object) -> Object:
        return self.request("PATCH", where, body, MERGE)

    def delete(self, where: str) -> None:
        try:
            self.request("DELETE", where)
        except Refused as refused:
            if refused.code != 404:
                raise

    def make_namespace(self, name: str) -> None:
        try:
            self.create(path("v1/namespaces"), {"metadata": {"name": name}})
        except Refused as refused:
            if refused.code != 409:
                raise
        # Without it pods are refused.
        wait(30, f"the service account of {name}", lambda: self.find(path("v1/serviceaccounts", name, "default")))


def wait(seconds: float, what: str, condition: Callable[[], Any], pause: float = 0.05) -> Any:
    """Waits until `condition` gives something true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        if found := condition():
            return found
        if time.monotonic() > end:
            raise Failure(f"after {seconds:.0f} s still waiting for {what}")
        time.sleep(pause)


class Watch:
    """Changes of a resource, from now on, in a thread; with the time at which each came. Ends with the `with` block."""

    def __init__(self, api: Api, where: str, accept: str = JSON) -> None:
        self.api = api
        self.where = where
        self.accept = accept
        self.ended = False
        self.events: list[tuple[float, str, Object]] = []
        self.news = threading.Condition()
        self.connection = api.connect(3600)

    def __enter__(self) -> Watch:
        listed = self.api.get(self.where + ("&" if "?" in self.where else "?") + "limit=1", METADATA_LIST)
        query = f"watch=1&allowWatchBookmarks=true&resourceVersion={listed['metadata']['resourceVersion']}"
        separator = "&" if "?" in self.where else "?"
        self.connection.request("GET", f"{self.where}{separator}{query}", headers={"Accept": self.accept})
        self.answer = self.connection.getresponse()
        if self.answer.status != 200:
            raise Refused(self.answer.status, self.answer.read().decode(errors="replace"))
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended = True
        if self.connection.sock:
            hang_up(self.connection)

    def _read(self) -> None:
        try:
            for line in self.answer:
                came = time.time()
                event = json.loads(line)
                if event["type"] == "BOOKMARK":
                    continue
                with self.news:
                    self.events.append((came, event["type"], event["object"]))
                    self.news.notify_all()
        except (OSError, ValueError, http.client.HTTPException, AttributeError):
            if not self.ended:
                raise

    def mark(self) -> int:
        """Where the next event will be."""
        with self.news:
            return len(self.events)

    def first(self, since: int, seconds: float, wanted: Callable[[str, Object], bool]) -> float | None:
        """When the first event from `since` on came that is wanted; `None` when none came within so many seconds."""
        end = time.monotonic() + seconds
        at = since
        with self.news:
            while True:
                while at < len(self.events):
                    came, kind, seen = self.events[at]
                    if wanted(kind, seen):
                        return came
                    at += 1
                left = end - time.monotonic()
                if left <= 0 or not self.news.wait(left):
                    return None


def hang_up(connection: http.client.HTTPSConnection) -> None:
    """Wakes a thread that reads the connection."""
    try:
        if connection.sock:
            connection.sock.shutdown(2)
    except OSError:
        pass
