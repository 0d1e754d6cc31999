// What the browser talks to: the real server, a job board for it, and the pages of the host.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createInterface } from "node:readline";

const HOST = new URL("../host/", import.meta.url);
const TYPES = { html: "text/html; charset=utf-8", js: "text/javascript; charset=utf-8" };

async function listen(handler) {
  const server = createServer(handler).listen(0, "127.0.0.1");
  await once(server, "listening");
  const stop = () => {
    server.close();
    server.closeAllConnections();
  };
  return { port: server.address().port, stop };
}

/** The policy that the extension has hosts make of what a view declares. */
function policy(csp) {
  const domains = (list) => (list ?? []).map((domain) => ` ${domain}`).join("");
  const resources = domains(csp.resourceDomains);
  return [
    "default-src 'none'",
    `script-src 'self' 'unsafe-inline'${resources}`,
    `style-src 'self' 'unsafe-inline'${resources}`,
    `connect-src 'self'${domains(csp.connectDomains)}`,
    `img-src 'self' data:${resources}`,
    `font-src 'self'${resources}`,
    `media-src 'self' data:${resources}`,
    `frame-src${domains(csp.frameDomains) || " 'none'"}`,
    "object-src 'none'",
    `base-uri${domains(csp.baseUriDomains) || " 'self'"}`,
  ].join("; ");
}

/** The host's pages. sandbox.html?csp=JSON is answered with the policy that follows from it; csp=none without one. */
export function startPages() {
  return listen(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, "http://host");
    const name = pathname.slice(1);
    if (!["host.html", "host.js", "sandbox.html", "sandbox.js"].includes(name)) return response.writeHead(404).end();
    const csp = searchParams.get("csp");
    const headers = { "content-type": TYPES[name.split(".")[1]], "cache-control": "no-store" };
    if (csp && csp !== "none") headers["content-security-policy"] = policy(JSON.parse(csp));
    response.writeHead(200, headers).end(await readFile(new URL(name, HOST)));
  });
}

/** JSearch, which answers what `answer(query)` says: { status, data }. */
export function startJSearch(answer) {
  return listen((request, response) => {
    const { searchParams } = new URL(request.url, "http://jsearch");
    const { status = 200, data = [] } = answer(searchParams.get("query") ?? "");
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify({ data }));
  });
}

/** The server's binary, on a free port. */
export async function startServer(binary, environment) {
  const child = spawn(binary, ["http"], {
    env: { PORT: "0", ADMIN_PORT: "0", ...environment },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const ended = once(child, "exit");
  const log = [];
  const address = await new Promise((resolve, reject) => {
    child.on("error", reject);
    ended.then(() => reject(new Error(`the server ended:\n${log.join("\n")}`)));
    createInterface({ input: child.stderr }).on("line", (line) => {
      log.push(line);
      try {
        const { address } = JSON.parse(line);
        if (address) resolve(address);
      } catch {
        // not a log line
      }
    });
  });
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
  };
  return { url: `http://${address}/mcp`, stop };
}
