"use strict";
// The host's side of MCP Apps (SEP-1865, 2026-01-26), as far as a view of ours can notice it: finds the view by the
// tool, shows it in a sandbox of another origin, and passes on a real answer of the server.

// ?server=URL of /mcp & sandbox=URL of sandbox.html
const query = new URLSearchParams(location.search);
let lastId = 0;

async function mcp(method, params) {
  const body = { jsonrpc: "2.0", id: ++lastId, method, params };
  const headers = { "content-type": "application/json", accept: "application/json, text/event-stream" };
  if (method !== "initialize") headers["mcp-protocol-version"] = "2025-11-25";
  const answer = await fetch(query.get("server"), { method: "POST", headers, body: JSON.stringify(body) });
  const { result, error } = await answer.json();
  if (error) throw new Error(`${method}: ${error.message}`);
  return result;
}

// The view that a tool's results are shown in: { html, csp }.
async function viewOf(tool) {
  const capabilities = { extensions: { "io.modelcontextprotocol/ui": { mimeTypes: ["text/html;profile=mcp-app"] } } };
  const clientInfo = { name: "test-host", version: "1" };
  await mcp("initialize", { protocolVersion: "2025-11-25", capabilities, clientInfo });
  const { tools } = await mcp("tools/list", {});
  const uri = tools.find(({ name }) => name === tool)._meta.ui.resourceUri;
  const { contents } = await mcp("resources/read", { uri });
  return { html: contents[0].text, csp: contents[0]._meta.ui.csp };
}

/**
 * Shows a view with a tool's answer.
 *   arguments     of search_jobs
 *   result        shown instead of the server's answer
 *   context       hostContext
 *   capabilities  hostCapabilities
 *   sandbox       what the view's frame may do
 *   lax           a host that enforces no policy
 *   deny          refuse to open links
 * Everything that the view says is in window.received.
 */
async function show(options) {
  const { html, csp } = await viewOf("search_jobs");
  document.querySelector("iframe")?.remove();
  window.received = [];
  const frame = document.createElement("iframe");
  frame.title = "Jobs";
  frame.sandbox = "allow-scripts allow-same-origin allow-popups allow-popups-to-escape-sandbox";
  frame.src = `${query.get("sandbox")}?csp=${options.lax ? "none" : encodeURIComponent(JSON.stringify(csp))}`;
  const origin = new URL(frame.src).origin;
  const post = (message) => frame.contentWindow.postMessage({ jsonrpc: "2.0", ...message }, origin);
  window.notify = (method, params) => post({ method, params });

  const answers = {
    "ui/initialize": () => ({
      result: {
        protocolVersion: "2026-01-26",
        hostInfo: { name: "test-host", version: "1" },
        hostCapabilities: options.capabilities ?? { openLinks: {} },
        hostContext: options.context ?? {},
      },
    }),
    "ui/open-link": () =>
      options.deny ? { error: { code: -32000, message: "Link opening denied by user" } } : { result: {} },
  };

  const shown = new Promise((resolve, reject) => {
    const listener = async ({ source, data }) => {
      if (source !== frame.contentWindow) return;
      window.received.push(data);
      try {
        if (data.method === "ui/notifications/sandbox-proxy-ready") {
          window.notify("ui/notifications/sandbox-resource-ready", { html, sandbox: options.sandbox, csp });
        } else if (data.method === "ui/notifications/initialized") {
          window.notify("ui/notifications/tool-input", { arguments: options.arguments ?? {} });
          if (options.result === null) return resolve();
          const call = { name: "search_jobs", arguments: options.arguments };
          const result = options.result ?? (await mcp("tools/call", call));
          window.result = result;
          window.notify("ui/notifications/tool-result", result);
          resolve();
        } else if (data.method === "ui/notifications/size-changed") {
          frame.style.height = `${data.params.height}px`;
        } else if (data.id !== undefined && data.method) {
          const answer = answers[data.method]?.() ?? { error: { code: -32601, message: "unknown method" } };
          post({ id: data.id, ...answer });
        }
      } catch (error) {
        reject(error);
      }
    };
    window.addEventListener("message", listener);
  });
  document.body.classList.toggle("dark", options.context?.theme === "dark");
  document.body.append(frame);
  await shown;
}
