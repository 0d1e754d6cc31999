"use strict";
// The view of MCP Apps (SEP-1865, 2026-01-26): speaks JSON-RPC with the host over postMessage and shows what a
// search found. Whatever comes from a job is inserted as text; nothing is loaded, and nothing is stored.
(() => {
  const PROTOCOL = "2026-01-26";
  const SHORT = 280; // characters of a description before "More"

  const heading = document.getElementById("heading");
  const message = document.getElementById("message");
  const cards = document.getElementById("cards");
  const source = document.getElementById("source");
  const view = document.getElementById("view");
  const root = document.documentElement;

  // --- the host ---

  const host = window.parent === window ? null : window.parent;
  const waiting = new Map();
  let lastId = 0;
  let canOpenLinks = false;
  let context = {};

  const post = (body) => host?.postMessage({ jsonrpc: "2.0", ...body }, "*");
  const notify = (method, params = {}) => post({ method, params });
  const ask = (method, params) =>
    new Promise((resolve, reject) => {
      const id = ++lastId;
      waiting.set(id, { resolve, reject });
      post({ id, method, params });
    });

  const notifications = {
    "ui/notifications/tool-input-partial": (params) => showInput(params?.arguments),
    "ui/notifications/tool-input": (params) => showInput(params?.arguments),
    "ui/notifications/tool-result": (params) => showResult(params),
    "ui/notifications/tool-cancelled": () => showState("The search was cancelled", ""),
    "ui/notifications/host-context-changed": (params) => applyContext(params),
  };

  function receive({ id, method, params, result, error }) {
    if (typeof method === "string" && id === undefined) {
      if (Object.hasOwn(notifications, method)) notifications[method](params);
    } else if (typeof method === "string") {
      const known = method === "ping" || method === "ui/resource-teardown";
      post(known ? { id, result: {} } : { id, error: { code: -32601, message: "unknown method" } });
    } else if (waiting.has(id)) {
      const { resolve, reject } = waiting.get(id);
      waiting.delete(id);
      if (error) reject(new Error(text(error.message)));
      else resolve(result ?? {});
    }
  }

  window.addEventListener("message", (event) => {
    // Any frame may post here; only the host's word counts.
    if (host && event.source === host && event.data?.jsonrpc === "2.0") receive(event.data);
  });

  // Only names and values that cannot make the page load something.
  function applyContext(change) {
    if (!change || typeof change !== "object") return;
    context = { ...context, ...change };
    if (context.theme === "light" || context.theme === "dark") root.dataset.theme = context.theme;
    for (const [name, value] of Object.entries(context.styles?.variables ?? {})) {
      if (/^--[a-z0-9-]+$/.test(name) && typeof value === "string" && !/url\(/i.test(value)) {
        root.style.setProperty(name, value);
      }
    }
    const { top = 0, right = 0, bottom = 0, left = 0 } = context.safeAreaInsets ?? {};
    view.style.padding = [top, right, bottom, left].map((inset) => `${16 + (Number(inset) || 0)}px`).join(" ");
  }

  // The page flows to any width and scrolls at any height, so the host's container dimensions need nothing else.
  let told = "";
  function tellSize() {
    const width = window.innerWidth;
    const height = Math.ceil(view.getBoundingClientRect().height);
    if (told === `${width} ${height}`) return;
    told = `${width} ${height}`;
    notify("ui/notifications/size-changed", { width, height });
  }

  async function start() {
    if (!host) return showState("Jobs", "This page shows the answers of search_jobs inside an MCP client.");
    showState("Looking for jobs …", "");
    try {
      const answer = await ask("ui/initialize", {
        protocolVersion: PROTOCOL,
        appInfo: { name: "iam-job-cards", title: "Job cards", version: "{{version}}" },
        appCapabilities: { availableDisplayModes: ["inline"] },
      });
      canOpenLinks = Boolean(answer.hostCapabilities?.openLinks);
      applyContext(answer.hostContext);
    } catch {
      // A host that refuses may still send results; links then open as the browser does it.
    }
    notify("ui/notifications/initialized");
    new ResizeObserver(() => requestAnimationFrame(tellSize)).observe(view);
  }

  // --- what is shown ---

  const text = (value) => (typeof value === "string" ? value.trim() : "");

  function element(name, className, content, children = []) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (content) made.textContent = content;
    made.append(...children);
    return made;
  }

  function showState(title, detail, failed = false) {
    view.classList.toggle("failed", failed);
    heading.textContent = title;
    message.replaceChildren(...linked(detail));
    message.hidden = !detail;
    cards.replaceChildren();
    cards.hidden = true;
    source.hidden = true;
  }

  let asked = "";
  function showInput(input) {
    const role = text(input?.role) || text(input?.query);
    const place = [input?.city, input?.country].map(text).filter(Boolean).join(", ") || text(input?.location);
    asked = (role && ` for “${role}”`) + (place && ` in ${place}`);
    showState(`Looking for jobs${asked} …`, "");
  }

  function showResult(result) {
    const content = Array.isArray(result?.content) ? result.content : [];
    const said = content
      .map((block) => text(block?.text))
      .filter(Boolean)
      .join("\n");
    const found = result?.structuredContent;
    if (result?.isError) {
      showState("The search failed", said || "The server did not say why.", true);
    } else if (!Array.isArray(found?.jobs)) {
      // A host that passes on only what models read.
      showState(`Jobs${asked}`, said || "The answer holds no jobs that could be shown.");
    } else if (found.jobs.length === 0) {
      const advice = "Try another title, a larger place, or every job board.";
      showState(`No job found${asked}`, [text(found.note), advice].filter(Boolean).join("\n"));
      showSource(found);
    } else {
      const count = found.jobs.length;
      showState(`${count === 1 ? "1 job" : `${count} jobs`}${asked}`, text(found.note));
      cards.replaceChildren(...found.jobs.map((job, index) => element("li", "", "", [card(job ?? {}, index)])));
      cards.hidden = false;
      showSource(found);
    }
  }

  function showSource(found) {
    const name = text(found.source);
    source.textContent = name && `Source: ${name}`;
    source.hidden = !name;
  }

  function card(job, index) {
    const title = element("h2", "", text(job.title) || "Untitled");
    title.id = `job-${index}`;
    const made = element("article", "card", "", [title]);
    made.setAttribute("aria-labelledby", title.id);
    const company = [text(job.company), text(job.location)].filter(Boolean).join(" · ");
    if (company) made.append(element("p", "company", company));
    const facts = [job.remote === true ? "Remote" : "", text(job.employment_type), text(job.salary)]
      .filter(Boolean)
      .map((fact) => element("li", "", fact));
    const posted = date(text(job.posted_at));
    if (posted) facts.push(posted);
    if (text(job.platform)) facts.push(element("li", "", `via ${text(job.platform)}`));
    if (facts.length) made.append(element("ul", "facts", "", facts));
    if (job.sample === true) made.append(element("p", "sample", "Sample: an invented posting"));
    const actions = element("div", "actions");
    const long = description(made, text(job.description), title, index);
    actions.append(apply(job, title), ...(long ? [long] : []));
    made.append(actions);
    return made;
  }

  function date(day) {
    const at = new Date(`${day}T00:00:00Z`);
    if (!/^\d{4}-\d{2}-\d{2}$/.test(day) || Number.isNaN(at.getTime())) return null;
    const format = { dateStyle: "medium", timeZone: "UTC" };
    let shown;
    try {
      shown = at.toLocaleDateString(text(context.locale) || undefined, format);
    } catch {
      shown = day; // a locale that this browser cannot read
    }
    const time = element("time", "", shown);
    time.dateTime = day;
    return element("li", "", "Posted ", [time]);
  }

  // Adds the text, and answers the button that shows the rest of a long one.
  function description(made, whole, title, index) {
    if (!whole) return null;
    const letters = Array.from(whole);
    const paragraph = element("p", "description", whole);
    paragraph.id = `description-${index}`;
    made.append(paragraph);
    if (letters.length <= SHORT * 1.2) return null;
    const start = letters
      .slice(0, SHORT)
      .join("")
      .replace(/\s+\S*$/, "");
    const button = element("button", "", "More");
    button.type = "button";
    button.setAttribute("aria-controls", paragraph.id);
    const show = (open) => {
      paragraph.textContent = open ? whole : `${start} …`;
      button.textContent = open ? "Less" : "More";
      button.setAttribute("aria-expanded", String(open));
      button.setAttribute("aria-label", `${open ? "Less" : "More"} about ${title.textContent}`);
    };
    button.addEventListener("click", () => show(button.getAttribute("aria-expanded") !== "true"));
    show(false);
    return button;
  }

  // A web address, or null: no script, no file, and no user name that makes one site look like another.
  function webAddress(link) {
    try {
      const url = new URL(link);
      const web = url.protocol === "https:" || url.protocol === "http:";
      return web && !url.username && !url.password ? url : null;
    } catch {
      return null;
    }
  }

  function apply(job, title) {
    const url = webAddress(text(job.apply_link));
    if (!url) return element("span", "note", "No web address to apply at");
    const link = anchor(url, `Apply at ${url.hostname}`);
    link.setAttribute("aria-label", `${link.textContent}: ${title.textContent}`);
    return link;
  }

  function anchor(url, label) {
    const link = element("a", "", label);
    link.href = url.href;
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    link.addEventListener("click", async (event) => {
      if (!canOpenLinks) return;
      event.preventDefault();
      const opened = await ask("ui/open-link", { url: url.href }).then(
        (result) => !result.isError,
        () => false,
      );
      // Without its own window the view cannot open it either: the address can be copied.
      if (opened) return;
      const instead = element("span", "note", `Not opened by this app: ${url.href}`);
      instead.tabIndex = -1;
      link.replaceWith(instead);
      instead.focus();
    });
    return link;
  }

  // Addresses in a note can be followed: job boards ask for a link to them. What stands behind them in a sentence
  // is no part of them.
  function linked(words) {
    return words.split(/(https?:\/\/[^\s<>"]*[^\s<>".,;:!?)])/).map((part, index) => {
      const url = index % 2 ? webAddress(part) : null;
      return url ? anchor(url, part) : part;
    });
  }

  start();
})();
