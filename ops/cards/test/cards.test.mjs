// The job cards as a person meets them: the real server, a host of MCP Apps, a real Chromium.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { faint, launch, open } from "./browser.mjs";
import { HOSTILE, answer, jobWithLink } from "./postings.mjs";
import { startJSearch, startPages, startServer } from "./servers.mjs";

const SAMPLES = { role: "Rust engineer", city: "Berlin", country: "Germany", num_jobs: 4 };
const PAGE_LIGHT = "rgb(255, 255, 255)";
const PAGE_DARK = "rgb(27, 27, 29)";

const stops = [];
let browser, pages, samples, board;

before(async () => {
  pages = await startPages();
  const jsearch = await startJSearch(answer);
  const origin = { CORS_ORIGINS: `http://127.0.0.1:${pages.port}` };
  const key = { RAPIDAPI_KEY: "a-key", RAPIDAPI_BASE_URL: `http://127.0.0.1:${jsearch.port}` };
  stops.push(pages.stop, jsearch.stop);
  samples = await startServer(process.env.CARDS_SERVER, origin);
  stops.push(samples.stop);
  board = await startServer(process.env.CARDS_SERVER, { ...origin, ...key });
  stops.push(board.stop);
  browser = await launch();
  stops.push(() => browser.close());
});

after(async () => {
  for (const stop of stops.reverse()) await stop();
});

/** A test in a window of its own. Unless it says otherwise, nothing may be loaded and nothing may go wrong in it. */
function inWindow(name, options, body) {
  test(name, async (t) => {
    const { blocked = false, server = () => samples, ...context } = options;
    const window = await open(browser, { pages, server: server(), ...context });
    try {
      await body(window, t);
      assert.deepEqual(window.foreign, [], "loaded from elsewhere");
      if (!blocked) assert.deepEqual(window.errors, [], "in the console");
    } finally {
      await window.close();
    }
  });
}

inWindow("the cards show the jobs of a real search", {}, async ({ show, result, view, received }) => {
  await show({ arguments: SAMPLES });
  const { jobs, note, source } = (await result()).structuredContent;
  assert.equal(jobs.length, 4);
  const cards = view.getByRole("article");
  await cards.nth(jobs.length - 1).waitFor();
  assert.equal(await cards.count(), jobs.length);
  const heading = view.getByRole("heading", { level: 1 });
  assert.equal(await heading.textContent(), "4 jobs for “Rust engineer” in Berlin, Germany");
  for (const [index, job] of jobs.entries()) {
    const card = cards.nth(index);
    assert.equal(await card.getByRole("heading", { level: 2 }).textContent(), job.title);
    const shown = await card.innerText();
    const facts = [job.company, job.location, job.salary, job.employment_type, job.platform, job.remote && "Remote"];
    for (const fact of facts.filter(Boolean)) assert.ok(shown.includes(fact), `${fact} is not in\n${shown}`);
    assert.equal(await card.locator("time").getAttribute("datetime"), job.posted_at);
    assert.ok(job.sample && shown.includes("Sample"), shown);
    assert.equal(await card.getByRole("link").getAttribute("href"), job.apply_link);
  }
  assert.ok(note && (await view.locator("#message").innerText()).includes(note), note);
  assert.equal(await view.locator("#source").innerText(), `Source: ${source}`);

  const [hello] = await received("ui/initialize");
  assert.equal(hello.params.protocolVersion, "2026-01-26");
  assert.ok(hello.params.appInfo.name && hello.params.appCapabilities);
});

inWindow("a job's facts are written for people", { server: () => board }, async ({ show, view }) => {
  await show({ arguments: { role: "data" }, context: { locale: "en-US" } });
  const card = view.getByRole("article");
  await card.waitFor();
  const shown = await card.innerText();
  for (const fact of [
    "Example GmbH · Berlin, DE",
    "Remote",
    "full-time",
    "70000–90000 EUR a year",
    "Posted Oct 5, 2026",
    "via LinkedIn",
  ]) {
    assert.ok(shown.includes(fact), `${fact} is not in\n${shown}`);
  }
  assert.ok(!shown.includes("Sample"), shown);
});

inWindow(
  "a long description is cut, and shown whole by the keyboard",
  { server: () => board },
  async ({ show, view, page }) => {
    await show({ arguments: { role: "data" } });
    const description = view.locator(".description");
    await description.waitFor();
    assert.ok((await description.innerText()).startsWith("First line.\nSecond line."));
    assert.ok((await description.innerText()).endsWith(" …"));
    await view.locator("body").press("Tab");
    assert.equal(await view.locator(":focus").evaluate((element) => element.tagName), "A");
    await page.keyboard.press("Tab");
    const button = view.locator("button:focus");
    assert.equal(await button.getAttribute("aria-expanded"), "false");
    assert.notEqual(await button.evaluate((element) => getComputedStyle(element).outlineStyle), "none");
    await page.keyboard.press("Enter");
    assert.equal(await button.getAttribute("aria-expanded"), "true");
    assert.equal(await button.getAttribute("aria-label"), "Less about Data engineer");
    assert.ok((await description.innerText()).endsWith("The end."));
    await page.keyboard.press("Enter");
    assert.ok((await description.innerText()).endsWith(" …"));
  },
);

inWindow("a link is opened by the host", { server: () => board }, async ({ show, view, page, received, context }) => {
  await show({ arguments: { role: "data" } });
  const link = view.getByRole("link", { name: "Apply at jobs.example: Data engineer" });
  await link.click();
  await page.waitForFunction(() => window.received.some(({ method }) => method === "ui/open-link"));
  const asked = await received("ui/open-link");
  assert.deepEqual(
    asked.map(({ params }) => params),
    [{ url: "https://jobs.example/data-engineer" }],
  );
  assert.equal(await link.getAttribute("href"), "https://jobs.example/data-engineer");
  assert.equal(await link.getAttribute("target"), "_blank");
  assert.match(await link.getAttribute("rel"), /noopener/);
  assert.equal(context.pages().length, 1);
});

inWindow("a host that refuses leaves an address to copy", { server: () => board }, async ({ show, view }) => {
  await show({ arguments: { role: "data" }, deny: true });
  await view.getByRole("link").click();
  await view.getByText("Not opened by this app: https://jobs.example/data-engineer").waitFor();
});

inWindow("where the host opens no links, the link itself does", { server: () => board }, async (window) => {
  const { show, view, context, received } = window;
  const sandbox = "allow-scripts allow-popups allow-popups-to-escape-sandbox";
  await show({ arguments: { role: "data" }, capabilities: {}, sandbox });
  const [opened] = await Promise.all([context.waitForEvent("page"), view.getByRole("link").click()]);
  await opened.waitForURL("https://jobs.example/data-engineer");
  assert.equal(await opened.evaluate(() => window.opener), null);
  assert.deepEqual(await received("ui/open-link"), []);
  // The one request that somebody asked for.
  assert.deepEqual(window.foreign.splice(0), ["https://jobs.example/data-engineer"]);
});

inWindow(
  "dark and light follow the host, and the browser where the host says nothing",
  { colorScheme: "dark" },
  async (window) => {
    const { show, color, notify, view, page } = window;
    await show({ arguments: SAMPLES });
    await view.getByRole("article").first().waitFor();
    assert.equal(await color("body", "backgroundColor"), PAGE_DARK);
    const darkText = await color("body", "color");
    await notify("ui/notifications/host-context-changed", { theme: "light" });
    await view.locator(":root[data-theme=light]").waitFor();
    assert.equal(await color("body", "backgroundColor"), PAGE_LIGHT);
    assert.notEqual(await color("body", "color"), darkText);
    await page.emulateMedia({ colorScheme: "light" });
    await show({ arguments: SAMPLES, context: { theme: "dark" } });
    await view.getByRole("article").first().waitFor();
    assert.equal(await color("body", "backgroundColor"), PAGE_DARK);
    assert.equal(await color("body", "color"), darkText);
  },
);

for (const theme of ["light", "dark"]) {
  inWindow(`every text can be read: ${theme}`, {}, async ({ show, view, frame }) => {
    await show({ arguments: SAMPLES, context: { theme } });
    await view.getByRole("article").first().waitFor();
    assert.deepEqual(await faint(frame()), []);
    await show({ arguments: { role: "x", num_jobs: 99 }, context: { theme } });
    await view.locator("main.failed").waitFor();
    assert.notEqual(
      await view.locator("h1").evaluate((h1) => getComputedStyle(h1).color),
      await view.locator("body").evaluate((body) => getComputedStyle(body).color),
    );
  });
}

inWindow(
  "the host's colours and insets are taken over, and nothing that would load",
  {},
  async ({ show, view, color, frame }) => {
    const variables = {
      "--color-background-primary": "light-dark(rgb(1, 2, 3), rgb(4, 5, 6))",
      "--color-text-primary": "rgb(250, 251, 252)",
      "--font-sans": "monospace",
      "--color-background-secondary": "url(http://evil.example/a.png)",
      "color; background": "red",
    };
    const context = { theme: "dark", styles: { variables }, safeAreaInsets: { top: 9, right: 0, bottom: 0, left: 0 } };
    await show({ arguments: SAMPLES, context });
    await view.getByRole("article").first().waitFor();
    assert.equal(await color("body", "backgroundColor"), "rgb(4, 5, 6)");
    assert.equal(await color("body", "color"), "rgb(250, 251, 252)");
    assert.equal(await color("body", "fontFamily"), "monospace");
    assert.equal(await color("main", "paddingTop"), "25px");
    assert.ok(!(await frame().evaluate(() => document.documentElement.style.cssText)).includes("evil"));
  },
);

inWindow("the host learns the height, and nothing is cut off", {}, async ({ show, view, page, frame }) => {
  await show({ arguments: SAMPLES });
  await view.getByRole("article").first().waitFor();
  const fits = () =>
    frame().evaluate(() => document.documentElement.scrollHeight <= window.innerHeight && window.innerHeight > 300);
  const deadline = Date.now() + 20_000;
  while (!(await fits())) assert.ok(Date.now() < deadline, "the frame never has the height of its content");
  const columns = () =>
    view.locator("#cards").evaluate((list) => getComputedStyle(list).gridTemplateColumns.split(" ").length);
  assert.equal(await columns(), 2);
  await page.setViewportSize({ width: 330, height: 900 });
  while ((await columns()) !== 1 || !(await fits())) assert.ok(Date.now() < deadline, "it does not follow the width");
  assert.ok(
    await frame().evaluate(() => document.documentElement.scrollWidth <= window.innerWidth),
    "wider than the window",
  );
});

inWindow("hostile postings stay text", { server: () => board }, async ({ show, view, frame }) => {
  await show({ arguments: { role: "hostile", num_jobs: 2 } });
  const cards = view.getByRole("article");
  await cards.nth(1).waitFor();
  const shown = await cards.first().innerText();
  for (const text of [HOSTILE.title, HOSTILE.company, HOSTILE.description]) {
    assert.ok(shown.includes(text), `${text} is not in\n${shown}`);
  }
  assert.equal(await view.locator("main :is(img, script, style, iframe, b)").count(), 0);
  assert.equal(await view.locator("article [onmouseover], article [onerror]").count(), 0);
  assert.equal(await frame().evaluate(() => document.title), "Jobs");
  const links = await view.getByRole("link").evaluateAll((all) => all.map((link) => link.href));
  assert.deepEqual(
    links.map((link) => new URL(link).origin),
    ["https://jobs.example", "https://jobs.example"],
  );
});

for (const link of [
  "javascript:alert(1)",
  " JaVaScRiPt:alert(1)",
  "data:text/html,x",
  "file:///etc/passwd",
  "//evil.example",
  "https://bank.example@evil.example/",
  "vbscript:x",
  "",
]) {
  inWindow(`this is no link: ${JSON.stringify(link)}`, {}, async ({ show, view }) => {
    await show({ result: jobWithLink(link) });
    await view.getByRole("article").waitFor();
    assert.equal(await view.locator("a").count(), 0);
    await view.getByText("No web address to apply at").waitFor();
  });
}

inWindow("the addresses in a note can be followed", {}, async ({ show, view, page, received }) => {
  const result = jobWithLink("");
  result.structuredContent.note =
    "Postings by Example Jobs (https://example.org/jobs?a=1). <b>Terms</b>: http://example.org/terms.";
  await show({ result });
  const links = view.locator("#message").getByRole("link");
  assert.deepEqual(await links.evaluateAll((all) => all.map((link) => [link.textContent, link.href])), [
    ["https://example.org/jobs?a=1", "https://example.org/jobs?a=1"],
    ["http://example.org/terms", "http://example.org/terms"],
  ]);
  assert.equal(await view.locator("#message").innerText(), result.structuredContent.note);
  await links.first().click();
  await page.waitForFunction(() => window.received.some(({ method }) => method === "ui/open-link"));
  assert.equal((await received("ui/open-link"))[0].params.url, "https://example.org/jobs?a=1");
});

inWindow("no job: it says so, and what to try", { server: () => board }, async ({ show, view }) => {
  await show({ arguments: { role: "nothing", location: "Oslo" } });
  await view.getByRole("heading", { name: "No job found for “nothing” in Oslo" }).waitFor();
  await view.getByText("Try another title").waitFor();
  assert.equal(await view.getByRole("article").count(), 0);
});

inWindow("a search that failed says why", { server: () => board }, async ({ show, view, result }) => {
  await show({ arguments: { role: "refused" } });
  await view.getByRole("heading", { name: "The search failed" }).waitFor();
  const answer = await result();
  assert.equal(answer.isError, true);
  assert.equal(await view.locator("#message").innerText(), answer.content[0].text);
});

inWindow("answers in an unknown shape, waiting and a cancelled search", {}, async ({ show, view, notify }) => {
  await show({ arguments: { query: "baker" }, result: { content: [{ type: "text", text: "<b>1 job</b>" }] } });
  await view.getByText("<b>1 job</b>").waitFor();
  await notify("ui/notifications/tool-result", { structuredContent: { jobs: [null, { title: 5 }], source: {} } });
  await view.getByRole("article").nth(1).waitFor();
  await show({ arguments: { query: "baker", location: "Bergen" }, result: null });
  await view.getByRole("heading", { name: "Looking for jobs for “baker” in Bergen …" }).waitFor();
  await notify("ui/notifications/tool-cancelled", { reason: "user" });
  await view.getByRole("heading", { name: "The search was cancelled" }).waitFor();
});

inWindow("messages of anybody but the host count for nothing", {}, async ({ show, view, frame }) => {
  await show({ arguments: SAMPLES });
  await view.getByRole("article").first().waitFor();
  await frame().evaluate(() => {
    const done = new Promise((resolve) => window.addEventListener("message", resolve));
    window.postMessage({ jsonrpc: "2.0", method: "ui/notifications/tool-cancelled", params: {} }, "*");
    return done.then(() => {});
  });
  assert.equal(await view.getByRole("article").count(), 4);
});

inWindow(
  "the page has a language, one first heading, and answers the host's requests",
  {},
  async ({ show, view, page, frame }) => {
    await show({ arguments: SAMPLES });
    await view.getByRole("article").first().waitFor();
    assert.equal(await frame().evaluate(() => document.documentElement.lang), "en");
    assert.equal(await view.locator("h1").count(), 1);
    assert.equal(await view.locator("h2").count(), 4);
    await page.evaluate(() => {
      const proxy = document.querySelector("iframe").contentWindow;
      for (const [id, method] of [
        ["a", "ping"],
        ["b", "ui/resource-teardown"],
        ["c", "toString"],
      ]) {
        proxy.postMessage({ jsonrpc: "2.0", id, method, params: {} }, "*");
      }
    });
    await page.waitForFunction(() => window.received.some(({ id }) => id === "c"));
    const answers = await page.evaluate(() => window.received.filter(({ id }) => typeof id === "string"));
    assert.deepEqual(
      answers.map(({ result, error }) => result ?? error.code),
      [{}, {}, -32601],
    );
  },
);

inWindow("the page connects to nothing even where the host allows it", { blocked: true }, async (window) => {
  const { show, view, frame, errors, foreign, reached } = window;
  await show({ arguments: SAMPLES, lax: true });
  await view.getByRole("article").first().waitFor();
  const tried = await frame().evaluate(async () => {
    const image = new Image();
    const failed = new Promise((resolve) => {
      image.onerror = () => resolve("refused");
      image.onload = () => resolve("loaded");
    });
    image.src = "https://evil.example/x.png";
    return [
      await fetch("https://evil.example/").then(
        () => "loaded",
        () => "refused",
      ),
      await failed,
    ];
  });
  assert.deepEqual(tried, ["refused", "refused"]);
  // The browser names what it refuses.
  assert.deepEqual([foreign.splice(0), reached], [["https://evil.example/x.png"], []]);
  assert.ok(
    errors.every((error) => error.includes("Content Security Policy")),
    errors.join("\n"),
  );
});

for (const theme of ["light", "dark"]) {
  test(`a picture for the documentation: ${theme}`, async () => {
    const window = await open(browser, { pages, server: samples, width: 820 });
    await window.show({ arguments: { ...SAMPLES, role: "engineer" }, context: { theme } });
    await window.view.getByRole("article").nth(3).waitFor();
    await window.page.waitForFunction(() => document.querySelector("iframe").clientHeight > 300);
    await window.page.locator("iframe").screenshot({ path: `${process.env.CARDS_PICTURES}/job-cards-${theme}.png` });
    await window.close();
  });
}
