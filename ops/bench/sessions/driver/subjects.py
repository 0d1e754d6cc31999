"""What is measured: a server, how it is deployed and how it is changed."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from cluster import Pod, get, kubectl, pods, poll

READY_SECONDS = 180
REPLICAS = 4
# Out of reach, so that the autoscaler's bounds decide and not the load of a shared machine.
CPU_UTILIZATION = 1000
RESOURCES = {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "256Mi"}}


@dataclass
class Subject:
    title: str
    namespace: str
    image: str
    other_image: str
    name: str = "jobs"
    selector: str = "app=jobs"
    # Phases that only an operator has.
    operated: bool = False
    sse: str = "/sse"
    mcp: str = "/mcp"

    def notice(self) -> float:
        """Seconds between a pod's being asked to go and its going, as far as a phase has to wait for it."""
        return 0

    def pods(self) -> list[Pod]:
        return pods(self.namespace, self.selector)

    def address(self) -> str:
        return get("service", self.name, "--namespace", self.namespace)["spec"]["clusterIP"]

    def host(self) -> str:
        return f"{self.name}.{self.namespace}.svc"

    def apply(self, *objects: dict[str, Any]) -> None:
        kubectl("apply", "--filename=-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def make_namespace(self) -> None:
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})

    def remove(self) -> None:
        """Takes everything away, also pods that would drain for an hour."""
        kubectl("delete", "pods", "--all", "--namespace", self.namespace, "--grace-period=1", "--wait=false", check=False)
        kubectl("delete", "namespace", self.namespace, "--ignore-not-found", "--timeout=90s", seconds=120, check=False)

    def settled(self, want: int, image: str | None = None, not_on: str | None = None) -> None:
        """Waits until that many pods are ready, and no others are there but for those that end."""

        def ready() -> bool:
            staying = [pod for pod in self.pods() if not pod.ends]
            return len(staying) == want and all(
                pod.ready and pod.node != not_on and (image is None or pod.image == image) for pod in staying
            )

        poll(READY_SECONDS, f"{want} ready pods", ready)

    def deploy(self) -> None:
        raise NotImplementedError

    def change_image(self) -> None:
        raise NotImplementedError

    def scale(self, replicas: int) -> None:
        raise NotImplementedError

    def autoscale(self, least: int, most: int) -> None:
        raise NotImplementedError


@dataclass
class Ours(Subject):
    """An McpServer, kept by the operator."""

    drain_seconds: int = 300
    operated: bool = True
    operator_namespace: str = "iam-mcp-system"

    def deploy(self) -> None:
        self.make_namespace()
        self.set_rapidapi_key("first")
        spec = {
            "image": self.image,
            "replicas": REPLICAS,
            "jobSearch": {"provider": "Catalogue", "rapidApi": {"keySecretRef": {"name": "rapidapi", "key": "token"}}},
            "service": {"sessionAffinity": "None"},
            "sessions": {"drainSeconds": self.drain_seconds},
            "resources": RESOURCES,
            # All clients come through one node, and have its address.
            "env": [{"name": "RATE_LIMIT", "value": "0"}],
        }
        metadata = {"name": self.name, "namespace": self.namespace}
        self.apply({"apiVersion": "iam-mcp.dev/v1alpha1", "kind": "McpServer", "metadata": metadata, "spec": spec})
        self.settled(REPLICAS)

    def remove(self) -> None:
        delete = ("delete", "mcpserver", self.name, "--namespace", self.namespace, "--ignore-not-found", "--timeout=60s")
        kubectl(*delete, seconds=90, check=False)
        super().remove()

    def patch(self, spec: dict[str, Any]) -> None:
        patch = json.dumps({"spec": spec})
        kubectl("patch", "mcpserver", self.name, "--namespace", self.namespace, "--type=merge", f"--patch={patch}")

    def change_image(self) -> None:
        self.patch({"image": self.other_image})

    def scale(self, replicas: int) -> None:
        kubectl("scale", "mcpserver", self.name, "--namespace", self.namespace, f"--replicas={replicas}")

    def autoscale(self, least: int, most: int) -> None:
        bounds = {"minReplicas": least, "maxReplicas": most, "cpuUtilization": CPU_UTILIZATION}
        self.patch({"replicas": None, "autoscaling": bounds})

    def set_rapidapi_key(self, key: str) -> None:
        metadata = {"name": "rapidapi", "namespace": self.namespace}
        self.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"token": key}})

    def rotate_session_key(self) -> None:
        """Asks for a new key, and waits until all seal with it and none waits to."""
        before = self.session_keys()["session-key"]
        asked = f"iam-mcp.dev/rotate-session-key={time.time():.0f}"
        kubectl("annotate", "mcpserver", self.name, asked, "--namespace", self.namespace, "--overwrite")

        def rotated() -> bool:
            keys = self.session_keys()
            return keys["session-key"] != before and "session-key-next" not in keys

        poll(READY_SECONDS, "the new session key to seal", rotated)

    def session_keys(self) -> dict[str, str]:
        return get("secret", f"{self.name}-keys", "--namespace", self.namespace)["data"]

    def restart_operator(self) -> None:
        where = ("--namespace", self.operator_namespace)
        kubectl("rollout", "restart", "deployment/iam-mcp-operator", *where)
        kubectl("rollout", "status", "deployment/iam-mcp-operator", "--timeout=120s", *where, seconds=130)


@dataclass
class Rival(Subject):
    """A plain Deployment and Service, with a preStop sleep or without.

    With ClientIP affinity: without it hardly a session can be opened, as the messages of one go to any pod.
    """

    pre_stop_seconds: int = 0

    def notice(self) -> float:
        return self.pre_stop_seconds

    def deploy(self) -> None:
        self.make_namespace()
        metadata = {"name": self.name, "namespace": self.namespace, "labels": {"app": self.name}}
        container: dict[str, Any] = {
            "name": "server",
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "ports": [{"name": "http", "containerPort": 8080}],
            "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 5},
            "resources": RESOURCES,
        }
        if self.pre_stop_seconds:
            container["lifecycle"] = {"preStop": {"sleep": {"seconds": self.pre_stop_seconds}}}
        template = {"metadata": {"labels": {"app": self.name}}, "spec": {"containers": [container]}}
        selector = {"matchLabels": {"app": self.name}}
        deployment = {"replicas": REPLICAS, "selector": selector, "template": template}
        ports = [{"port": 80, "targetPort": "http"}]
        service = {"selector": {"app": self.name}, "sessionAffinity": "ClientIP", "ports": ports}
        budget = {"selector": selector, "maxUnavailable": 1}
        self.apply(
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": deployment},
            {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
            {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": budget},
        )
        self.settled(REPLICAS)

    def change_image(self) -> None:
        deployment = f"deployment/{self.name}"
        kubectl("set", "image", deployment, f"server={self.other_image}", "--namespace", self.namespace)

    def scale(self, replicas: int) -> None:
        kubectl("scale", f"deployment/{self.name}", f"--replicas={replicas}", "--namespace", self.namespace)

    def autoscale(self, least: int, most: int) -> None:
        target = {"type": "Utilization", "averageUtilization": CPU_UTILIZATION}
        spec = {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": self.name},
            "minReplicas": least,
            "maxReplicas": most,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        }
        metadata = {"name": self.name, "namespace": self.namespace}
        autoscaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata, "spec": spec}
        self.apply(autoscaler)
