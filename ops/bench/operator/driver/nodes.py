"""Nodes that run nothing: each pod that the scheduler gives them is said to be ready at once, and to be gone when it is
asked to go. A process of its own: `nodes.py SERVER PKI POD_PREFIX COUNT`. It says "ready" when pods can come."""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from api import MERGE, Api, Object, Refused, path

PODS_A_NODE = 1100
WORKERS = 6
# The node controller gives up on a node after 50 s.
HEARTBEAT_SECONDS = 10


def now(fraction: bool = False) -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ" if fraction else "%Y-%m-%dT%H:%M:%SZ")


def address(prefix: str, number: int) -> str:
    """The number-th pod address: "10.240" gives 10.240.1.1, 10.240.1.2 and on."""
    return f"{prefix}.{1 + number // 250 % 250}.{1 + number % 250}"


def ready_status(pod: Object, ip: str, at: str) -> Object:
    """What a kubelet says of a pod whose containers are ready."""
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": at}
        for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    ]
    containers = [
        {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "ready": True,
            "started": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": at}},
        }
        for container in pod["spec"]["containers"]
    ]
    return {
        "phase": "Running",
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "startTime": at,
        "conditions": conditions,
        "containerStatuses": containers,
    }


class Nodes:
    def __init__(self, api: Api, prefix: str, number: int) -> None:
        self.api = api
        self.prefix = prefix
        self.names = [f"paper-{i}" for i in range(number)]
        self.work: queue.Queue[Object] = queue.Queue()
        self.numbers = count()

    def make(self) -> None:
        size = {"cpu": "1000", "memory": "4Ti", "pods": str(PODS_A_NODE)}
        for name in self.names:
            labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
            try:
                self.api.create(path("v1/nodes"), {"metadata": {"name": name, "labels": labels}})
            except Refused as refused:
                if refused.code != 409:
                    raise
            ready = {"type": "Ready", "status": "True", "reason": "PaperReady", "message": "", "lastHeartbeatTime": now(), "lastTransitionTime": now()}
            status = {"capacity": size, "allocatable": size, "conditions": [ready]}
            self.api.merge(path("v1/nodes", name=name, subresource="status"), {"status": status})
        self.beat()

    def beat(self) -> None:
        where = path("coordination.k8s.io/v1/leases", "kube-node-lease")
        for name in self.names:
            spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now(fraction=True)}
            try:
                self.api.merge(f"{where}/{name}", {"spec": spec})
            except Refused as refused:
                if refused.code != 404:
                    raise
                self.api.create(where, {"metadata": {"name": name}, "spec": spec})

    def beat_on(self) -> None:
        while True:
            time.sleep(HEARTBEAT_SECONDS)
            self.beat()

    def work_on(self) -> None:
        while True:
            pod = self.work.get()
            try:
                self.serve(pod)
            except Refused as refused:
                if refused.code not in (404, 409):
                    print(f"nodes: {refused}", file=sys.stderr, flush=True)

    def serve(self, pod: Object) -> None:
        metadata = pod["metadata"]
        where = path("v1/pods", metadata["namespace"], metadata["name"])
        if "deletionTimestamp" in metadata:
            self.api.request("DELETE", where, {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}})
            return
        status = ready_status(pod, address(self.prefix, next(self.numbers)), now())
        patch = {"metadata": {"uid": metadata["uid"]}, "status": status}
        self.api.request("PATCH", f"{where}/status", patch, MERGE)

    def watch(self) -> None:
        """Lists and watches anew for ever: a watch ends after some minutes."""
        while True:
            where = path("v1/pods")
            version, rest = "", "limit=500"
            while rest:
                page = self.api.get(f"{where}?{rest}")
                for pod in page["items"]:
                    self.see(pod)
                version = page["metadata"]["resourceVersion"]
                more = page["metadata"].get("continue")
                rest = f"limit=500&continue={more}" if more else ""
            print("ready", flush=True)
            connection = self.api.connect(3600)
            connection.request("GET", f"{where}?watch=1&resourceVersion={version}")
            for line in connection.getresponse():
                event: dict[str, Any] = json.loads(line)
                if event["type"] in ("ADDED", "MODIFIED"):
                    self.see(event["object"])
                elif event["type"] == "ERROR":
                    break

    def see(self, pod: Object) -> None:
        if not pod["spec"].get("nodeName", "").startswith("paper-"):
            return
        if "deletionTimestamp" in pod["metadata"] or pod["status"].get("phase") == "Pending":
            self.work.put(pod)


def main() -> None:
    server, pki, prefix, number = sys.argv[1:]
    nodes = Nodes(Api(server, Path(pki)), prefix, int(number))
    nodes.make()
    threading.Thread(target=nodes.beat_on, daemon=True).start()
    for _ in range(WORKERS):
        threading.Thread(target=nodes.work_on, daemon=True).start()
    nodes.watch()


if __name__ == "__main__":
    main()
