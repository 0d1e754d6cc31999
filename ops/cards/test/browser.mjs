// A Chromium, and what a test sees in it.
import { createRequire } from "node:module";
import { join } from "node:path";

const { chromium } = createRequire(join(process.env.CARDS_MODULES, "package.json"))("playwright-core");

const TIMEOUT = 30_000; // for anything; a machine under load may need it

/** Root has no sandbox of Chromium's; --disable-dev-shm-usage is for containers with a small /dev/shm. */
export const launch = () =>
  chromium.launch({
    executablePath: process.env.CARDS_CHROMIUM,
    chromiumSandbox: process.getuid() !== 0,
    args: ["--disable-dev-shm-usage"],
  });

/**
 * A window with the host in it. What the host may load is `allowed`; everything else that a page asks for is in
 * `foreign`, whether or not a policy refused it; what was let out is in `reached`, what went wrong in `errors`.
 */
export async function open(browser, { pages, server, width = 860, ...options }) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, locale: "en-GB", ...options });
  context.setDefaultTimeout(TIMEOUT);
  const host = `http://127.0.0.1:${pages.port}`;
  const sandbox = `http://localhost:${pages.port}`;
  const allowed = [`${host}/host.html`, `${host}/host.js`, `${sandbox}/sandbox.html`, `${sandbox}/sandbox.js`, server.url];
  const foreign = [];
  const reached = [];
  const errors = [];
  context.on("request", (request) => {
    const url = request.url().split("?")[0];
    if (!allowed.includes(url) && !["data:,", "about:srcdoc"].includes(url)) foreign.push(request.url());
  });
  // Nothing leaves this machine, whatever a test tries.
  const own = (url) => url.origin === host || url.origin === sandbox || url.href.startsWith(server.url);
  await context.route(
    (url) => !own(url),
    (route) => {
      reached.push(route.request().url());
      return route.fulfill({ status: 200, contentType: "text/html", body: "elsewhere" });
    },
  );
  const page = await context.newPage();
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") errors.push(message.text());
  });
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.goto(`${host}/host.html?server=${server.url}&sandbox=${sandbox}/sandbox.html`);

  const view = page.frameLocator("iframe").frameLocator("iframe");
  return {
    context,
    page,
    view,
    foreign,
    reached,
    errors,
    /** See host.js. */
    show: (options) => page.evaluate((options) => show(options), options),
    received: (method) => page.evaluate((method) => window.received.filter((message) => message.method === method), method),
    result: () => page.evaluate(() => window.result),
    notify: (method, params) => page.evaluate(([method, params]) => notify(method, params), [method, params]),
    frame: () => page.frames().find((frame) => frame.url() === "about:srcdoc"),
    color: (selector, property) =>
      view
        .locator(selector)
        .first()
        .evaluate((element, property) => getComputedStyle(element)[property], property),
    close: () => context.close(),
  };
}

/** Texts that stand out too little from what is behind them (WCAG 2.2, 1.4.3 asks for 4.5 to 1), as seen. */
export const faint = (frame) =>
  frame.evaluate(() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgb = (color) => {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
      return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const luminance = (color) => {
      const [r, g, b] = rgb(color).map((part) =>
        part / 255 <= 0.04045 ? part / 3294.6 : ((part / 255 + 0.055) / 1.055) ** 2.4,
      );
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
      for (let at = element; at; at = at.parentElement) {
        const color = getComputedStyle(at).backgroundColor;
        if (rgb(color)[3] === 255) return color;
      }
      return "white";
    };
    const texts = [...document.querySelectorAll("main *")].filter(
      (element) =>
        element.checkVisibility() && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()),
    );
    if (texts.length < 5) throw new Error(`only ${texts.length} texts`);
    return texts
      .map((element) => {
        const [dark, light] = [getComputedStyle(element).color, behind(element)].map(luminance).sort((a, b) => a - b);
        return { text: element.textContent.slice(0, 30), ratio: (light + 0.05) / (dark + 0.05) };
      })
      .filter(({ ratio }) => ratio < 4.5);
  });
