"""The McpServers that are made, and the writes that their children take."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from api import APPLY, JSON, Api, Object, path

RESOURCE = "iam-mcp.dev/v1alpha1/mcpservers"
IMAGE = "registry.example.com/mcp/server"
# What is put in their place is a name; so they are names.
NS, NAME, UID = "bench-ns", "bench-name", "@UID@"
MANAGER = "bare-client"
NAMESPACES = 20

# Where each kind of child that an operator renders is written.
PLACES = {
    "ServiceAccount": "v1/serviceaccounts",
    "Service": "v1/services",
    "Secret": "v1/secrets",
    "ConfigMap": "v1/configmaps",
    "Deployment": "apps/v1/deployments",
    "PodDisruptionBudget": "policy/v1/poddisruptionbudgets",
    "Ingress": "networking.k8s.io/v1/ingresses",
    "NetworkPolicy": "networking.k8s.io/v1/networkpolicies",
    "HorizontalPodAutoscaler": "autoscaling/v2/horizontalpodautoscalers",
}
CHILDREN = {place.rsplit("/", 1)[1] for place in PLACES.values()}


def smallest(api: Api) -> Object:
    """A spec of one pod. What speaks with a server before its pods take traffic is off, as paper pods are too quick for it."""
    definition = api.get(path("apiextensions.k8s.io/v1/customresourcedefinitions", name="mcpservers.iam-mcp.dev"))
    known = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    spec: Object = {"image": f"{IMAGE}:v1", "replicas": 1}
    if "verify" in known.get("rollout", {}).get("properties", {}):
        spec["rollout"] = {"verify": "Off"}
    return spec


def server(namespace: str, name: str, spec: Object) -> Object:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "iam-mcp.dev/v1alpha1", "kind": "McpServer", "metadata": metadata, "spec": spec}


def items(count: int, prefix: str = "s") -> list[dict[str, str]]:
    """Namespace and name of each server."""
    return [{"Namespace": f"bench-{i % NAMESPACES:02d}", "Name": f"{prefix}{i:05d}"} for i in range(count)]


def rendered(binary: Path, spec: Object) -> list[Object]:
    """The children that the operator renders for a server."""
    made = subprocess.run(
        [binary, "render", "--filename", "-"], input=json.dumps(server(NS, NAME, spec)), capture_output=True, text=True, check=True
    ).stdout
    read = subprocess.run(
        ["kubectl", "create", "--dry-run=client", "--validate=false", "--output=json", "--filename=-"],
        input=made, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    found, decoder, at = [], json.JSONDecoder(), 0
    while at < len(read.strip()):
        one, at = decoder.raw_decode(read, at)
        found += one["items"] if one["kind"] == "List" else [one]
        while at < len(read) and read[at].isspace():
            at += 1
    for child in found:
        child["metadata"].pop("creationTimestamp", None)
        child.pop("status", None)
    return found


def templated(body: Object) -> str:
    """With the placeholders of the bare client."""
    return json.dumps(body).replace(NS, "@NS@").replace(NAME, "@NAME@")


def creation(spec: Object) -> dict[str, str]:
    return {"Method": "POST", "Path": path(RESOURCE, "@NS@"), "Type": JSON, "Body": templated(server(NS, NAME, spec))}


def writes(children: list[Object], spec: Object) -> list[dict[str, str]]:
    """The steps of the bare client: the resource, each child, and its status twice."""
    owner = {"apiVersion": "iam-mcp.dev/v1alpha1", "kind": "McpServer", "name": NAME, "uid": UID, "controller": True, "blockOwnerDeletion": True}
    steps = [creation(spec)]
    labels = children[0]["metadata"]["labels"]
    keys: Object = {
        "metadata": {"name": f"{NAME}-keys", "namespace": NS, "labels": labels, "ownerReferences": [owner]},
        "type": "Opaque",
        "stringData": {"session-key": "0123456789abcdef0123456789abcdef"},
    }
    steps.append({"Method": "POST", "Path": path("v1/secrets", "@NS@"), "Type": JSON, "Body": templated(keys)})
    for child in children:
        body: dict[str, Any] = {**child, "metadata": {**child["metadata"], "namespace": NS, "ownerReferences": [owner]}}
        where = path(PLACES[child["kind"]], "@NS@", "@NAME@") + f"?fieldManager={MANAGER}&force=true"
        steps.append({"Method": "PATCH", "Path": where, "Type": APPLY, "Body": templated(body)})
    for ready in ("False", "True"):
        time = "2026-01-01T00:00:00Z"
        conditions = [
            {"type": kind, "status": ready, "reason": "Bare", "message": "as the bare client says", "lastTransitionTime": time}
            for kind in ("Accepted", "Degraded", "Progressing", "Ready")
        ]
        status = {**server(NS, NAME, {}), "status": {"observedGeneration": 1, "replicas": 1, "conditions": conditions}}
        del status["spec"]
        where = path(RESOURCE, "@NS@", "@NAME@", "status") + f"?fieldManager={MANAGER}&force=true"
        steps.append({"Method": "PATCH", "Path": where, "Type": APPLY, "Body": templated(status)})
    return steps
