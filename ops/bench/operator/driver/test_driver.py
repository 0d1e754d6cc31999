"""python3 -m unittest discover --start-directory ops/bench/operator/driver"""

from __future__ import annotations

import json
import os
import tempfile
import unittest
from pathlib import Path
from typing import Any

import answers
import nodes
import servers
from api import path
from audit import Audit, counted, failed
from changes import EDITS, _comes_back
from figures import Figure, quantile, table
from measure import creation
from traps import _mounts_whole


def entry(user: str, verb: str, resource: str, code: int = 200, at: int = 0, **about: str) -> dict[str, Any]:
    return {
        "user": {"username": user},
        "verb": verb,
        "objectRef": {"resource": resource, "namespace": "n", "name": "a", **about},
        "responseStatus": {"code": code},
        "requestReceivedTimestamp": f"2026-01-01T00:00:{at:02d}.000000Z",
        "stageTimestamp": f"2026-01-01T00:00:{at:02d}.500000Z",
    }


def line(*given: str, **more: Any) -> bytes:
    # As the API server writes it: without spaces.
    return json.dumps(entry(*given, **more), separators=(",", ":")).encode() + b"\n"


class TheAuditLog(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.log = Path(directory.name) / "audit.log"
        self.log.write_bytes(b"")
        self.audit = Audit(self.log, ("op", "admin"))
        self.addCleanup(lambda: self.audit.file.close())

    def test_is_read_on_as_it_grows_and_where_it_begins_anew(self) -> None:
        whole = line("op", "create", "services")
        with self.log.open("ab") as log:
            log.write(whole + line("kcm", "create", "pods") + whole[:20])
        self.assertEqual(len(self.audit.read()), 1, "others' writes and half a line are left out")
        with self.log.open("ab") as log:
            log.write(whole[20:])
        os.rename(self.log, self.log.with_suffix(".1"))
        self.log.write_bytes(whole)
        self.assertEqual(len(self.audit.read()), 3)

    def test_says_what_was_written_and_what_failed(self) -> None:
        with self.log.open("ab") as log:
            log.write(line("op", "patch", "mcpservers", subresource="status") + line("op", "create", "events") + line("op", "patch", "services", code=409))
        writes = self.audit.read()
        self.assertEqual([write.counts for write in writes], [True, False, True])
        self.assertEqual(counted(writes)["patch mcpservers/status"], 1)
        self.assertEqual(failed(writes), {"patch services 409": 1})

    def test_times_a_creation_from_the_first_server_to_the_last_new_child(self) -> None:
        with self.log.open("ab") as log:
            log.write(line("admin", "create", "mcpservers", code=201, at=1) + line("op", "patch", "services", code=201, at=4))
            log.write(line("op", "patch", "deployments", code=201, at=3) + line("op", "patch", "deployments", code=200, at=9))
        self.assertEqual(creation(self.audit.read(), "op"), (3.5, 2))


class TheTable(unittest.TestCase):
    def test_says_what_is_not_reached(self) -> None:
        text = table([Figure("a", 2.0, "ms", most=2), Figure("b", 3.0, bare=1.0, most=2), Figure("c", None, most=2), Figure("d", 1.0)])
        self.assertIn("| a, ms | 2.0 | – | ≤ 2: yes |", text)
        self.assertIn("| b | 3.0 | 1.0 | ≤ 2: **no** |", text)
        self.assertIn("| c | – | – | ≤ 2: **no** |", text)
        self.assertIn("| d | 1.0 | – |  |", text)

    def test_lists_the_traps_apart(self) -> None:
        text = table([Figure("t", None, trap=False, note="why")])
        self.assertIn("| t | **FAILS** | why |", text)

    def test_quantiles_are_of_what_was_measured(self) -> None:
        self.assertEqual((quantile([3, 1, 2], 0.5), quantile([3, 1, 2], 0.99)), (2, 3))


class Writes(unittest.TestCase):
    def test_paths(self) -> None:
        self.assertEqual(path("apps/v1/deployments", "n", "a", "scale"), "/apis/apps/v1/namespaces/n/deployments/a/scale")
        self.assertEqual(path("v1/pods"), "/api/v1/pods")

    def test_the_bare_client_is_told_where_a_servers_names_go(self) -> None:
        child = {"kind": "Service", "metadata": {"name": servers.NAME, "labels": {"app": servers.NAME}}}
        steps = servers.writes([child], {"image": "x"})
        self.assertEqual([step["Method"] for step in steps], ["POST", "POST", "PATCH", "PATCH", "PATCH"])
        body = json.loads(steps[2]["Body"])
        self.assertEqual(body["metadata"]["labels"], {"app": "@NAME@"})
        self.assertEqual(body["metadata"]["ownerReferences"][0]["uid"], "@UID@")
        self.assertTrue(steps[2]["Path"].startswith("/api/v1/namespaces/@NS@/services/@NAME@?"))


class Repairs(unittest.TestCase):
    def test_an_event_from_before_the_edit_is_no_repair(self) -> None:
        edit = next(edit for edit in EDITS if edit.what == "maxReplicas")
        hpa = lambda most: {"metadata": {"name": "a"}, "spec": {"maxReplicas": most}}  # noqa: E731
        wanted = _comes_back(edit, "a", 4)
        self.assertEqual([wanted("MODIFIED", hpa(most)) for most in (4, 77, 77, 4)], [False, False, False, True])


class Pods(unittest.TestCase):
    def test_each_has_an_address_of_its_own(self) -> None:
        found = {nodes.address("10.240", number) for number in range(20_000)}
        self.assertEqual(len(found), 20_000)

    def test_a_ready_pod_has_ready_containers(self) -> None:
        pod = {"spec": {"containers": [{"name": "c", "image": "i"}]}}
        status = nodes.ready_status(pod, "10.0.0.1", "2026-01-01T00:00:00Z")
        self.assertIn(("Ready", "True"), [(c["type"], c["status"]) for c in status["conditions"]])
        self.assertTrue(status["containerStatuses"][0]["ready"])

    def test_answer_to_whoever_asks_them(self) -> None:
        self.assertEqual(answers.answer("GET", "/sessions", b"")[0], 200)
        status, found = answers.answer("POST", "/mcp", b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}')
        self.assertEqual((status, len((found or {})["result"]["tools"])), (200, 1))
        self.assertEqual(answers.answer("POST", "/mcp", b'{"jsonrpc":"2.0","method":"notifications/initialized"}')[0], 202)


class Traps(unittest.TestCase):
    def test_a_secret_mounted_whole_is_renewed(self) -> None:
        spec: dict[str, Any] = {
            "volumes": [{"name": "v", "secret": {"secretName": "s"}}],
            "containers": [{"volumeMounts": [{"name": "v", "mountPath": "/x"}]}],
        }
        self.assertTrue(_mounts_whole(spec, "s"))
        spec["containers"][0]["volumeMounts"][0]["subPath"] = "token"
        self.assertFalse(_mounts_whole(spec, "s"))


if __name__ == "__main__":
    unittest.main()
