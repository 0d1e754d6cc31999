"""The traps that operators fall into, each tried on the running operator. A trap passes or fails."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import servers
from api import APPLY, Api, Failure, Object, Refused, path, wait
from changes import DEPLOYMENTS, image_of
from figures import Figure
from measure import Run

NAMESPACE = "traps"
RESTARTED = "kubectl.kubernetes.io/restartedAt"
CALM_SECONDS = 10
FIGHT_SECONDS = 20
HPAS = "autoscaling/v2/horizontalpodautoscalers"
SERVICES = "v1/services"

Told = tuple[bool, str]


class Traps:
    def __init__(self, run: Run) -> None:
        self.run = run
        self.api: Api = run.api

    # --- what the traps share

    def make(self, name: str, **spec: object) -> None:
        # Without `replicas`, so that they are whoever's asks for them.
        mine = {key: value for key, value in {**self.run.spec, "replicas": None, **spec}.items() if value is not None}
        self.api.create(path(servers.RESOURCE, NAMESPACE), servers.server(NAMESPACE, name, mine))

    def settled(self, name: str, **spec: object) -> None:
        """A server whose pod is available."""
        self.make(name, **spec)
        wait(60, f"a pod of {name}", lambda: (self.deployment(name) or {}).get("status", {}).get("availableReplicas"))
        time.sleep(2)

    def deployment(self, name: str) -> Object:
        return self.api.find(path(DEPLOYMENTS, NAMESPACE, name)) or {}

    def service(self, name: str) -> Object:
        return self.api.find(path(SERVICES, NAMESPACE, name)) or {}

    def change_image(self, name: str, tag: str = "v2") -> None:
        image = f"{servers.IMAGE}:{tag}"
        self.api.merge(path(servers.RESOURCE, NAMESPACE, name), {"spec": {"image": image}})
        wait(20, f"the image of {name}", lambda: image_of(self.deployment(name)) == image)

    def template_annotations(self, name: str) -> Object:
        found: Object = self.deployment(name)["spec"]["template"]["metadata"].get("annotations") or {}
        return found

    def condition(self, name: str, reason: str) -> str:
        """The message of the condition that has the reason, waited for."""

        def told() -> str:
            status = self.api.get(path(servers.RESOURCE, NAMESPACE, name)).get("status", {})
            return next((c["message"] for c in status.get("conditions", []) if c["reason"] == reason), "")

        return str(wait(20, f"{reason} in the status of {name}", told))

    def writes_to(self, since: int, name: str) -> int:
        return sum(w.name == name and w.resource == "deployments" for w in self.run.writes(since))

    # --- the traps, by what a person sees

    def scale_survives(self) -> Told:
        """`kubectl scale` of the Deployment survives, and a later change of the image"""
        self.settled("scaled")
        self.api.merge(path(DEPLOYMENTS, NAMESPACE, "scaled", "scale"), {"spec": {"replicas": 3}})
        time.sleep(CALM_SECONDS)
        after = self.deployment("scaled")["spec"]["replicas"]
        self.change_image("scaled")
        time.sleep(2)
        later = self.deployment("scaled")["spec"]["replicas"]
        return after == 3 and later == 3, f"{after}, then {later}"

    def restart_survives(self) -> Told:
        """`kubectl rollout restart` survives, and a later change of the image"""
        self.settled("restarted")
        patch = {"spec": {"template": {"metadata": {"annotations": {RESTARTED: "2026-01-01T00:00:00Z"}}}}}
        self.api.merge(path(DEPLOYMENTS, NAMESPACE, "restarted"), patch)
        time.sleep(CALM_SECONDS)
        kept = RESTARTED in self.template_annotations("restarted")
        self.change_image("restarted")
        time.sleep(2)
        return kept and RESTARTED in self.template_annotations("restarted"), ""

    def foreign_keys(self) -> Told:
        """foreign labels and annotations of Deployment and pod template are kept, without a write"""
        self.settled("foreign")
        since = self.run.mark()
        foreign = {"labels": {"foreign.io/l": "x"}, "annotations": {"foreign.io/a": "x"}}
        self.api.merge(path(DEPLOYMENTS, NAMESPACE, "foreign"), {"metadata": foreign, "spec": {"template": {"metadata": foreign}}})
        time.sleep(CALM_SECONDS)
        found = self.deployment("foreign")
        places = [found["metadata"], found["spec"]["template"]["metadata"]]
        kept = all("foreign.io/l" in p.get("labels", {}) and "foreign.io/a" in p.get("annotations", {}) for p in places)
        written = self.writes_to(since, "foreign")
        return kept and not written, f"{written} writes"

    def injector(self) -> Told:
        """an injector that puts its annotation back is not fought"""
        self.settled("injected")
        since, climbed = self.run.mark(), self.deployment("injected")["metadata"]["generation"]
        puts, end = 0, time.monotonic() + FIGHT_SECONDS
        while time.monotonic() < end:
            if "injector.io/a" not in self.template_annotations("injected"):
                patch = {"spec": {"template": {"metadata": {"annotations": {"injector.io/a": "x"}}}}}
                self.api.merge(path(DEPLOYMENTS, NAMESPACE, "injected"), patch)
                puts += 1
            time.sleep(0.2)
        climbed = self.deployment("injected")["metadata"]["generation"] - climbed
        return puts == 1 and climbed == 1 and not self.writes_to(since, "injected"), f"put {puts} times, generation + {climbed}"

    def secret_reaches_pods(self) -> Told:
        """a changed key of a referenced Secret reaches the pods: mounted, and not pinned by a subPath or the environment"""
        where = path("v1/secrets", NAMESPACE)
        self.api.create(where, {"metadata": {"name": "rapidapi"}, "stringData": {"token": "first"}})
        self.settled("secret", jobSearch={"rapidApi": {"keySecretRef": {"name": "rapidapi", "key": "token"}}})
        spec = self.deployment("secret")["spec"]["template"]["spec"]
        before = self.deployment("secret")["spec"]["template"]
        self.api.merge(f"{where}/rapidapi", {"stringData": {"token": "second"}})
        mounted = _mounts_whole(spec, "rapidapi")
        if not mounted:
            # What cannot be re-read has to be rolled.
            wait(20, "a rolling restart", lambda: self.deployment("secret")["spec"]["template"] != before)
        return True, "mounted and re-read" if mounted else "rolled"

    def digest(self) -> Told:
        """an image by digest is taken"""
        image = f"{servers.IMAGE}@sha256:{'ab' * 32}"
        self.make("digest", image=image)
        wait(20, "the image", lambda: self.deployment("digest") and image_of(self.deployment("digest")) == image)
        return True, ""

    def foreign_deployment(self) -> Told:
        """a foreign Deployment of that name is left alone, with a condition that says so"""
        name, labels = "taken", {"h": "x"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "human", "image": "human.example.com/app:1"}]}}
        body = {"metadata": {"name": name}, "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}}
        self.api.create(path(DEPLOYMENTS, NAMESPACE), body)
        self.make(name)
        message = self.condition(name, "NameConflict")
        time.sleep(2)
        found = self.deployment(name)
        alone = found["metadata"]["generation"] == 1 and not found["metadata"].get("ownerReferences") and image_of(found).startswith("human")
        return alone, message

    def foreign_service(self) -> Told:
        """a foreign Service of that name is left alone, with a condition that says so"""
        name = "taken-service"
        self.api.create(path(SERVICES, NAMESPACE), {"metadata": {"name": name}, "spec": {"selector": {"h": "x"}, "ports": [{"port": 5555}]}})
        self.make(name)
        message = self.condition(name, "NameConflict")
        time.sleep(2)
        found = self.service(name)
        alone = found["spec"]["selector"] == {"h": "x"} and found["spec"]["ports"][0]["port"] == 5555
        return alone and not found["metadata"].get("ownerReferences"), message

    def users_autoscaler(self) -> Told:
        """a user's HPA with a least of 3 is not fought"""
        self.settled("autoscaled")
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "autoscaled"}
        metric = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}
        body = {"metadata": {"name": "by-hand"}, "spec": {"minReplicas": 3, "maxReplicas": 5, "scaleTargetRef": target, "metrics": [metric]}}
        self.api.create(path(HPAS, NAMESPACE), body)
        seen = [self.deployment("autoscaled")["spec"]["replicas"]]
        end = time.monotonic() + 25
        while time.monotonic() < end:
            now = self.deployment("autoscaled")["spec"]["replicas"]
            if now != seen[-1]:
                seen.append(now)
            time.sleep(0.1)
        kept = self.api.find(path(HPAS, NAMESPACE, "by-hand")) is not None
        return seen == [1, 3] and kept, f"replicas {seen}"

    def autoscaler_on_and_off(self) -> Told:
        """switching the HPA on and off never drops a pod"""
        self.settled("handed", replicas=3)
        where = path(servers.RESOURCE, NAMESPACE, "handed")
        least, end = 3, time.monotonic() + 20
        self.api.merge(where, {"spec": {"replicas": None, "autoscaling": {"minReplicas": 3, "maxReplicas": 5}}})
        switched = False
        while time.monotonic() < end:
            least = min(least, self.deployment("handed")["spec"]["replicas"])
            if not switched and time.monotonic() > end - 10:
                switched = True
                self.api.merge(where, {"spec": {"autoscaling": None}})
            time.sleep(0.05)
        return least == 3, f"{least} at least"

    def three_passes(self) -> Told:
        """foreign keys on every child, and the resource touched three times: nothing is written"""
        self.settled("touched")
        children = {"v1/serviceaccounts": "touched", SERVICES: "touched", DEPLOYMENTS: "touched", "v1/secrets": "touched-keys"}
        for place, name in children.items():
            self.api.merge(path(place, NAMESPACE, name), {"metadata": {"labels": {"foreign.io/l": "x"}, "annotations": {"foreign.io/a": "x"}}})
        time.sleep(1)
        versions = {place: self._version(place, name) for place, name in children.items()}
        for number in range(3):
            self.api.merge(path(servers.RESOURCE, NAMESPACE, "touched"), {"metadata": {"annotations": {"touched": str(number)}}})
            time.sleep(1)
        moved = [place for place, name in children.items() if versions[place] != self._version(place, name)]
        return not moved, ", ".join(moved)

    def _version(self, place: str, name: str) -> Object:
        """Without the Deployment's status, which the cluster writes."""
        found = self.api.get(path(place, NAMESPACE, name))
        return {key: value for key, value in found.items() if key != "status"} | {"metadata": _own_fields(found["metadata"])}

    def lone_pod_drains(self) -> Told:
        """one pod has no PodDisruptionBudget that blocks a drain"""
        self.settled("lone", replicas=1)
        budgets = self.api.get(path("policy/v1/poddisruptionbudgets", NAMESPACE))["items"]
        blocking = [b["metadata"]["name"] for b in budgets if b["metadata"]["name"] == "lone" or "minAvailable" in b["spec"]]
        return not blocking, ", ".join(blocking)

    def grace(self) -> Told:
        """the pod's grace is longer than the server's own"""
        spec = wait(20, "a Deployment", lambda: self.deployment("lone") or self.deployment("scaled"))["spec"]["template"]["spec"]
        env = {e["name"]: e.get("value", "") for c in spec["containers"] for e in c.get("env", [])}
        own = int(env.get("DRAIN_SECONDS", "0"))
        return spec["terminationGracePeriodSeconds"] > own > 0, f"{spec['terminationGracePeriodSeconds']} s and {own} s"

    def own_key(self) -> Told:
        """keys are random and each server's own, never a constant"""
        self.settled("key-a")
        self.settled("key-b")
        keys = [self.api.get(path("v1/secrets", NAMESPACE, f"{name}-keys"))["data"]["session-key"] for name in ("key-a", "key-b")]
        return len(set(keys)) == 2 and all(len(key) >= 40 for key in keys), ""

    def children_go(self) -> Told:
        """a deleted McpServer takes its children along"""
        self.settled("going")
        self.api.delete(path(servers.RESOURCE, NAMESPACE, "going"))
        wait(30, "the children to go", lambda: not self.deployment("going") and not self.service("going"))
        return True, ""

    def bad_neighbour(self) -> Told:
        """a server that the API server refuses stops no other"""
        self.make("bad", resources={"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}})
        self.settled("good")
        return True, ""

    def scale_subresource(self) -> Told:
        """the resource has a scale subresource, and `kubectl scale` of it works"""
        self.settled("by-scale", replicas=1)
        self.api.merge(path(servers.RESOURCE, NAMESPACE, "by-scale", "scale"), {"spec": {"replicas": 2}})
        wait(20, "two replicas", lambda: self.deployment("by-scale")["spec"]["replicas"] == 2)
        scale = self.api.get(path(servers.RESOURCE, NAMESPACE, "by-scale", "scale"))
        return bool(scale["status"].get("selector")), scale["status"].get("selector", "")

    def wide(self) -> Told:
        """`kubectl get` has more columns with `-o wide`, and short names"""
        columns = [len(_kubectl("get", "mcps", "--namespace", NAMESPACE, *more).split("\n", 1)[0].split()) for more in ((), ("--output=wide",))]
        return columns[0] >= 5 and columns[1] > columns[0], f"{columns[0]} and {columns[1]}"

    def fields_are_one_managers(self) -> Told:
        """server-side apply has one manager, and what was applied is not applied again by a person's no-op"""
        self.settled("applied")
        body = self.deployment("applied")
        managers = {m["manager"] for m in body["metadata"]["managedFields"] if m.get("subresource") != "status"}
        self.api.request("PATCH", path(DEPLOYMENTS, NAMESPACE, "applied") + "?fieldManager=person&force=true", _only_label(body), APPLY)
        time.sleep(2)
        kept = self.deployment("applied")["metadata"]["labels"].get("person") == "x"
        ours = {manager for manager in managers if manager.startswith("iam-mcp")}
        return kept and ours == {"iam-mcp-operator"}, ", ".join(sorted(managers))


def _only_label(body: Object) -> Object:
    metadata = {"name": body["metadata"]["name"], "namespace": NAMESPACE, "labels": {"person": "x"}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}


def _own_fields(metadata: Object) -> Object:
    return {key: value for key, value in metadata.items() if key not in ("resourceVersion", "managedFields", "annotations")} | {
        "annotations": {k: v for k, v in (metadata.get("annotations") or {}).items() if not k.startswith("deployment.kubernetes.io/")}
    }


def _mounts_whole(spec: Object, secret: str) -> bool:
    """Whether a Secret is mounted as a volume, so that the kubelet renews it."""
    names = set()
    for volume in spec.get("volumes", []):
        sources = [volume, *volume.get("projected", {}).get("sources", [])]
        if any(s.get("secret", {}).get("secretName") == secret or s.get("secret", {}).get("name") == secret for s in sources):
            names.add(volume["name"])
    mounts = [mount for container in spec["containers"] for mount in container.get("volumeMounts", [])]
    return any(mount["name"] in names and "subPath" not in mount for mount in mounts)


def _kubectl(*words: str) -> str:
    return subprocess.run(["kubectl", *words], capture_output=True, text=True, check=True).stdout


def all_traps(run: Run) -> None:
    run.api.make_namespace(NAMESPACE)
    traps = Traps(run)
    tries: list[Callable[[], Told]] = [
        traps.scale_survives, traps.restart_survives, traps.foreign_keys, traps.injector, traps.users_autoscaler,
        traps.autoscaler_on_and_off, traps.three_passes, traps.secret_reaches_pods, traps.digest, traps.foreign_deployment,
        traps.foreign_service, traps.lone_pod_drains, traps.grace, traps.own_key, traps.children_go, traps.bad_neighbour,
        traps.scale_subresource, traps.fields_are_one_managers,
    ]  # fmt: skip

    def tried(trap: Callable[[], Told]) -> Figure:
        title = " ".join((trap.__doc__ or trap.__name__).split())
        try:
            passed, note = trap()
        except (Failure, Refused, KeyError, IndexError, TypeError) as error:
            passed, note = False, f"{type(error).__name__}: {error}"[:200]
        return Figure(title, None, trap=passed, note=note.replace("|", "\\|"))

    with ThreadPoolExecutor(5) as pool:
        run.tell(*pool.map(tried, tries))
    run.tell(tried(traps.wide))
