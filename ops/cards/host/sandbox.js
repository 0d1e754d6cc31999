"use strict";
// The proxy between host and view that the extension asks of hosts that are web pages. It has an origin of its own, the
// policy of its response holds for the view too, and it passes on what is said.
let view;

window.addEventListener("message", ({ source, data }) => {
  if (source === window.parent && data.method === "ui/notifications/sandbox-resource-ready") {
    view = document.createElement("iframe");
    view.sandbox = data.params.sandbox ?? "allow-scripts";
    view.srcdoc = data.params.html;
    document.body.append(view);
  } else if (source === window.parent) {
    view.contentWindow.postMessage(data, "*");
  } else if (view && source === view.contentWindow) {
    window.parent.postMessage(data, "*");
  }
});

window.parent.postMessage({ jsonrpc: "2.0", method: "ui/notifications/sandbox-proxy-ready", params: {} }, "*");
