"""A job board on loopback that answers as JSearch does, and tells what became of a search that it does not answer."""

import json
import select
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

# A search for "slow TOKEN" is not answered, and held for so long; one for "paged TOKEN" has its second page once somebody
# asks for /go/TOKEN.
HELD_SECONDS = 120
PAGE = 10


def posting(job_id: str) -> list[dict[str, object]]:
    """One of them, by its id."""
    query, _, number = job_id.rpartition("-")
    found = postings(query, int(number) // PAGE + 1) if number.isdigit() else []
    return [one for one in found if one["job_id"] == job_id]


def postings(query: str, page: int) -> list[dict[str, object]]:
    role, _, place = query.partition(" in ")
    return [
        {
            "job_id": f"{query}-{number}",
            "job_title": f"{role} {number}",
            "employer_name": "Example Company",
            "job_city": place or "Anywhere",
            "job_description": f"Work as {role}.",
            "job_apply_link": f"https://example.com/apply/{number}",
            "job_publisher": "LinkedIn",
        }
        for number in range(PAGE * (page - 1), PAGE * page)
    ]


class Provider(ThreadingHTTPServer):
    """Serves from its making to `close`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.states: dict[str, str] = {}
        self.gone_on: dict[str, threading.Event] = {}
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def going_on(self, token: str) -> threading.Event:
        return self.gone_on.setdefault(token, threading.Event())

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: Provider
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # noqa: N802: the library's name
        address = urlsplit(self.path)
        if address.path.startswith("/state/"):
            token = address.path.removeprefix("/state/")
            return self.answer({"state": self.server.states.get(token, "unknown")})
        if address.path.startswith("/go/"):
            self.server.going_on(address.path.removeprefix("/go/")).set()
            return self.answer({})
        asked = {name: values[0] for name, values in parse_qs(address.query).items()}
        if address.path == "/job-details":
            return self.answer({"status": "OK", "data": posting(asked["job_id"])})
        query = asked["query"]
        if query.startswith("slow "):
            return self.hold(query.split()[1])
        page = int(asked["page"])
        if query.startswith("paged ") and page > 1:
            self.server.going_on(query.split()[1]).wait(HELD_SECONDS)
        return self.answer({"status": "OK", "data": postings(query, page)})

    def hold(self, token: str) -> None:
        """Until whoever asked hangs up."""
        self.server.states[token] = "waiting"
        readable, _, _ = select.select([self.connection], [], [], HELD_SECONDS)
        self.server.states[token] = "given up" if readable else "held"
        self.close_connection = True

    def answer(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
