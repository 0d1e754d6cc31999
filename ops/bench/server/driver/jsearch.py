"""JSearch on loopback, for the upstream server, and for ours where its cache is measured: one answer to every search."""

from __future__ import annotations

import http.server
import json
import ssl
import subprocess
import threading
from pathlib import Path

JOBS = [
    {
        "job_id": f"bench-{number}",
        "job_title": f"Rust Engineer {number}",
        "employer_name": "Upstream Labs",
        "job_city": "Berlin",
        "job_country": "DE",
        "job_employment_type": "FULLTIME",
        "job_publisher": "LinkedIn",
        "job_is_remote": False,
        "job_posted_at_datetime_utc": "2026-11-20T08:00:00.000Z",
        "job_apply_link": f"https://example.com/jobs/{number}",
        "job_description": "Build and operate services that answer millions of requests a day; own the code from design to "
        "operation, review changes, and keep latency low.",
    }
    for number in range(1, 6)
]


class _Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked = 0
    content = json.dumps({"status": "OK", "request_id": "bench", "data": JOBS}).encode()

    def do_GET(self) -> None:
        _Answers.asked += 1
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *_: object) -> None:
        pass


class JSearch:
    """Over plain HTTP, and with a certificate over TLS, as the upstream server insists on it."""

    def __init__(self, directory: Path) -> None:
        self.plain = self._serve(None)
        self.certificate = directory / "jsearch.pem"
        key = directory / "jsearch.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=jsearch.p.rapidapi.com",
             "-addext", "subjectAltName=DNS:jsearch.p.rapidapi.com", "-keyout", str(key), "-out", str(self.certificate)],
            check=True, capture_output=True,
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self.tls = self._serve(context)

    def _serve(self, context: ssl.SSLContext | None) -> int:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return int(server.server_address[1])

    @property
    def asked(self) -> int:
        """How often it was asked."""
        return _Answers.asked

    def environment(self, name: str) -> dict[str, str]:
        """What has the server `name` ask here."""
        if name == "upstream":
            return {"JSEARCH_PORT": str(self.tls), "REQUESTS_CA_BUNDLE": str(self.certificate)}
        if name == "ours":
            return {"RAPIDAPI_BASE_URL": f"http://127.0.0.1:{self.plain}", "RAPIDAPI_KEY": "none"}
        return {}
