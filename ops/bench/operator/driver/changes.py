"""How long a change takes: an image of a server's, and what somebody deletes or edits."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import servers
from api import APPLY, JSON, MERGE, STRATEGIC, Failure, Object, Watch, path, wait
from figures import Figure, quantile
from measure import Run

# Between two changes, so that the cluster has done with one before the next.
PAUSE_SECONDS = 0.4
LONGEST_SECONDS = 20
DEPLOYMENTS = "apps/v1/deployments"


def image_of(deployment: Object) -> str:
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])


def image_change(run: Run, rounds: int) -> None:
    """A person changes the image of a server: until its Deployment has it. In turns with a bare client that makes the same
    two writes, and with the second of them alone."""
    namespace, name = "bench-00", "s00000"
    plain = next(child for child in servers.rendered(run.binary, run.spec) if child["kind"] == "Deployment")
    plain = json.loads(json.dumps(plain).replace(servers.NS, namespace).replace(servers.NAME, "plain"))
    # Nobody's: no label that makes it a child.
    plain = json.loads(json.dumps(plain).replace("app.kubernetes.io/managed-by", "made-by"))
    plain["metadata"]["namespace"] = namespace
    stand_in = path("v1/configmaps", namespace)
    run.api.create(stand_in, {"metadata": {"name": "plain"}, "data": {"image": "v1"}})

    def apply(image: str) -> None:
        plain["spec"]["template"]["spec"]["containers"][0]["image"] = image
        where = path(DEPLOYMENTS, namespace, "plain") + f"?fieldManager={servers.MANAGER}&force=true"
        run.api.request("PATCH", where, plain, APPLY)

    def ours(image: str) -> None:
        run.api.merge(path(servers.RESOURCE, namespace, name), {"spec": {"image": image}})

    def both(image: str) -> None:
        run.api.merge(f"{stand_in}/plain", {"data": {"image": image}})
        apply(image)

    apply(f"{servers.IMAGE}:v1")
    time.sleep(1)
    taken: dict[str, list[float]] = {"ours": [], "both": [], "apply": []}
    with Watch(run.api, path(DEPLOYMENTS, namespace)) as watch:
        for number in range(rounds):
            ways: tuple[tuple[str, str, Callable[[str], None]], ...] = (("ours", name, ours), ("both", "plain", both), ("apply", "plain", apply))
            for way, which, change in ways:
                image = f"{servers.IMAGE}:{way}-{number}"
                since, began = watch.mark(), time.time()
                change(image)
                came = watch.first(
                    since, LONGEST_SECONDS, lambda _, seen, which=which, image=image: seen["metadata"]["name"] == which and image_of(seen) == image
                )
                if came is None:
                    raise Failure(f"{way}: the Deployment {which} never had the image {image}")
                taken[way].append((came - began) * 1e3)
                time.sleep(PAUSE_SECONDS)
    for title, share, more in (("p50", 0.5, 3), ("p99", 0.99, 10)):
        bare = quantile(taken["both"], share)
        note = f"{rounds} changes; the second write alone: {quantile(taken['apply'], share):.1f} ms"
        run.tell(
            Figure(f"image change to Deployment changed, with {run.count:,} servers: {title}", quantile(taken["ours"], share), "ms", bare=bare, most=bare + more, note=note)
        )


@dataclass(frozen=True)
class Edit:
    """What somebody does to a child: `patch` makes it of the child, `look` reads what has to come back."""

    what: str
    resource: str
    kind: str
    patch: Callable[[Object], Object]
    look: Callable[[Object], Any]


def _ports(service: Object, **change: Any) -> Object:
    return {"spec": {"ports": [{**service["spec"]["ports"][0], **change}]}}


EDITS = (
    Edit("token mounted", "v1/serviceaccounts", MERGE, lambda _: {"automountServiceAccountToken": True}, lambda o: o.get("automountServiceAccountToken")),
    Edit("port", "v1/services", MERGE, lambda o: _ports(o, port=o["spec"]["ports"][0]["port"] + 1111), lambda o: [p["port"] for p in o["spec"]["ports"]]),
    Edit("targetPort", "v1/services", MERGE, lambda o: _ports(o, targetPort=9999), lambda o: [p["targetPort"] for p in o["spec"]["ports"]]),
    Edit("a foreign key in the selector", "v1/services", MERGE, lambda _: {"spec": {"selector": {"evil": "x"}}}, lambda o: o["spec"]["selector"]),
    Edit(
        "image", DEPLOYMENTS, STRATEGIC,
        lambda o: {"spec": {"template": {"spec": {"containers": [{"name": o["spec"]["template"]["spec"]["containers"][0]["name"], "image": "evil.example.com/x:1"}]}}}},
        image_of,
    ),
    Edit("maxUnavailable", "policy/v1/poddisruptionbudgets", MERGE, lambda _: {"spec": {"maxUnavailable": "100%"}}, lambda o: o["spec"].get("maxUnavailable")),
    Edit("rules", "networking.k8s.io/v1/ingresses", MERGE, lambda _: {"spec": {"rules": [{"host": "evil.example.com"}]}}, lambda o: o["spec"]["rules"]),
    Edit("maxReplicas", "autoscaling/v2/horizontalpodautoscalers", MERGE, lambda _: {"spec": {"maxReplicas": 77}}, lambda o: o["spec"]["maxReplicas"]),
    Edit("session key removed", "v1/secrets", MERGE, lambda _: {"data": {"session-key": None}}, lambda o: "session-key" in o.get("data", {})),
    Edit("a label", "v1/services", MERGE, lambda _: {"metadata": {"labels": {"app": "evil"}}}, lambda o: o["metadata"]["labels"]["app"]),
)  # fmt: skip


def whole(run: Run) -> Object:
    """A spec that has every optional child that is known here."""
    return {**run.spec, "replicas": None, "autoscaling": {"minReplicas": 2, "maxReplicas": 4}, "ingress": {"host": "jobs.example.com"}}


def repairs(run: Run, rounds: int) -> None:
    """Deletes and edits every kind of child of a server that has all of them; how long until it is right again."""
    namespace, name = "repair", "whole"
    run.api.make_namespace(namespace)
    spec = {key: value for key, value in whole(run).items() if value is not None}
    owner = run.api.create(path(servers.RESOURCE, namespace), servers.server(namespace, name, spec))
    uid = owner["metadata"]["uid"]

    def children() -> dict[str, Object]:
        found = {}
        for place in servers.PLACES.values():
            for item in run.api.get(path(place, namespace))["items"]:
                if any(reference["uid"] == uid for reference in item["metadata"].get("ownerReferences", [])):
                    found[place] = item
        return found

    wait(30, "all children", lambda: len(children()) >= 7)
    time.sleep(3)
    taken: list[float] = []
    never: list[str] = []
    each: list[str] = []

    def note(what: str, values: list[float]) -> None:
        each.append(f"{what} {quantile(values, 0.5):.0f}" if values else f"{what} **never**")

    for place, child in sorted(children().items()):
        kind = child["kind"] if "kind" in child else place.rsplit("/", 1)[1]
        where = path(place, namespace, child["metadata"]["name"])
        with Watch(run.api, path(place, namespace)) as watch:
            values = []
            for _ in range(rounds):
                old = run.api.get(where)["metadata"]["uid"]
                since, began = watch.mark(), time.time()
                run.api.delete(where)
                came = watch.first(
                    since, LONGEST_SECONDS,
                    lambda _, seen, old=old, which=child["metadata"]["name"]: seen["metadata"]["name"] == which and seen["metadata"]["uid"] != old,
                )  # fmt: skip
                if came is None:
                    never.append(f"{kind} deleted")
                    break
                values.append((came - began) * 1e3)
                time.sleep(PAUSE_SECONDS)
            note(f"{kind} deleted", values)
            taken += values
            for edit in (edit for edit in EDITS if edit.resource == place):
                values = []
                for _ in range(rounds):
                    before = run.api.get(where)
                    right = edit.look(before)
                    since, began = watch.mark(), time.time()
                    run.api.request("PATCH", where, edit.patch(before), edit.kind)
                    came = watch.first(since, LONGEST_SECONDS, _comes_back(edit, child["metadata"]["name"], right))
                    if came is None:
                        never.append(f"{kind}: {edit.what}")
                        break
                    values.append((came - began) * 1e3)
                    time.sleep(PAUSE_SECONDS)
                note(f"{kind}: {edit.what}", values)
                taken += values
    if not taken:
        raise Failure("nothing was repaired")
    run.tell(
        Figure("a deleted or edited child is right again: p50", quantile(taken, 0.5), "ms", most=20, note=", ".join(each)),
        Figure("a deleted or edited child is right again: p99", quantile(taken, 0.99), "ms"),
        Figure("changes that were never repaired", len(never), "", 0, most=0, note=", ".join(never)),
    )
    run.api.request("DELETE", path(servers.RESOURCE, namespace, name), kind=JSON)


def _comes_back(edit: Edit, name: str, right: Any) -> Callable[[str, Object], bool]:
    """It has to be seen wrong first: an event from before the edit is right too."""
    wrong = False

    def wanted(_: str, seen: Object) -> bool:
        nonlocal wrong
        if seen["metadata"]["name"] != name:
            return False
        if edit.look(seen) != right:
            wrong = True
            return False
        return wrong

    return wanted
