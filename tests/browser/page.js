// Looks at a published page in a real browser: the right button, no error, no request elsewhere, complete without its
// script, readable on 320 pixels, reachable by keyboard, nothing that axe-core finds, and a feed as RFC 4287 wants it.
//
//     node page.js NODE_MODULES CHROMIUM URL FOLDER
//
// NODE_MODULES has playwright-core and axe-core. Pictures go into FOLDER. Prints a line per fault and ends with 1 when
// there is one.
"use strict";
const fs = require("fs");
const path = require("path");
const [modules, executablePath, url, folder] = process.argv.slice(2);
const { chromium } = require(path.join(modules, "playwright-core"));
const axe = fs.readFileSync(path.join(modules, "axe-core", "axe.min.js"), "utf8");

const faults = [];
const hold = (good, what) => { if (!good) { faults.push(what); } };

// What a browser says of itself, and which download must be marked. `architecture` is what Chrome answers when it is asked;
// browsers without it say nothing but the line.
const WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36";
const VISITORS = [
  ["Windows, Chrome", WINDOWS, "x86", "x86_64-pc-windows-msvc"],
  ["Windows on ARM, which runs programs for Intel", WINDOWS, "arm", "x86_64-pc-windows-msvc"],
  ["macOS, Safari", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15", null, "aarch64-apple-darwin"],
  ["macOS on Intel, Chrome", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36", "x86", "x86_64-apple-darwin"],
  ["Linux x64, Firefox", "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0", null, "x86_64-unknown-linux-gnu"],
  ["Linux arm64, Firefox", "Mozilla/5.0 (X11; Linux aarch64; rv:150.0) Gecko/20100101 Firefox/150.0", null, "aarch64-unknown-linux-gnu"],
  ["Linux arm64, Chrome, whose line says x86_64 everywhere", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36", "arm", "aarch64-unknown-linux-gnu"],
  ["iPhone, for which there is nothing", "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1", null, null],
];

async function main() {
  const browser = await chromium.launch({
    executablePath,
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"],
  });
  try {
    for (const visitor of VISITORS) { await choice(browser, ...visitor); }
    await withoutScript(browser);
    for (const colorScheme of ["light", "dark"]) {
      for (const width of [1280, 320]) { await look(browser, colorScheme, width); }
    }
    await keyboard(browser);
    await feed(browser);
  } finally {
    await browser.close();
  }
}

// Opens the page and notes what it asks for and complains about.
async function open(browser, name, options, prepare) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  // A picture of the whole page takes its time on a machine that does much else.
  context.setDefaultTimeout(120_000);
  const page = await context.newPage();
  page.on("console", (message) => { if (message.type() !== "info") { faults.push(`${name}: console: ${message.text()}`); } });
  page.on("pageerror", (error) => faults.push(`${name}: ${error}`));
  page.on("request", (request) => {
    hold(request.url() === url || request.url().startsWith("data:"), `${name}: it asks for ${request.url()}`);
  });
  if (prepare) { await page.addInitScript(prepare.script, prepare.argument); }
  await page.goto(url);
  return page;
}

async function choice(browser, name, userAgent, architecture, triple) {
  const script = (architecture) => {
    const data = architecture === null ? undefined : { getHighEntropyValues: () => Promise.resolve({ architecture }) };
    Object.defineProperty(navigator, "userAgentData", { configurable: true, get: () => data });
  };
  const page = await open(browser, name, { userAgent }, { script, argument: architecture });
  await page.waitForTimeout(50);
  const marked = await page.locator("a.download.yours").evaluateAll((links) => links.map((link) => link.dataset.triple));
  hold(marked.join() === (triple || ""), `${name}: marked is ${marked.join() || "nothing"}, wanted ${triple || "nothing"}`);
  if (triple) {
    const first = await page.locator("a.download").first().getAttribute("data-triple");
    hold(first === triple, `${name}: the first is ${first}`);
    const said = await page.locator("a.download.yours").getAttribute("aria-describedby");
    hold(said === "pick", `${name}: a screen reader is not told that the download is marked`);
  } else {
    const said = await page.locator("#pick").textContent();
    hold(/no download for this system/.test(said), `${name}: it says ${said}`);
  }
  const all = await page.locator("a.download").count();
  hold(all >= 6, `${name}: ${all} downloads are listed`);
  await page.context().close();
}

async function withoutScript(browser) {
  const page = await open(browser, "without JavaScript", { javaScriptEnabled: false });
  const downloads = page.locator("a.download");
  hold((await downloads.count()) >= 6, "without JavaScript: downloads are missing");
  for (const link of await downloads.all()) {
    hold(await link.isVisible(), `without JavaScript: ${await link.getAttribute("data-triple")} cannot be seen`);
  }
  hold(!(await page.locator("#pick").isVisible()), "without JavaScript: it says that a download is marked");
  const older = page.locator("section[aria-label=Releases] details").nth(1);
  await older.locator("summary").click();
  hold(await older.locator("code").first().isVisible(), "without JavaScript: an older release does not open");
  await page.screenshot({ path: path.join(folder, "without-script.png"), fullPage: true });
  await page.context().close();
}

async function look(browser, colorScheme, width) {
  const name = `${colorScheme}, ${width} pixels`;
  const page = await open(browser, name, { colorScheme, viewport: { width, height: 900 }, bypassCSP: true });
  await page.evaluate(() => document.querySelectorAll("details").forEach((details) => { details.open = true; }));
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  hold(wide <= width, `${name}: the page is ${wide} pixels wide`);
  const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const lightness = ground.match(/\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 3;
  hold((lightness > 128) === (colorScheme === "light"), `${name}: the ground is ${ground}`);
  await page.evaluate(axe);
  const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  for (const violation of found.violations) {
    faults.push(`${name}: axe-core: ${violation.id}: ${violation.help}: ${violation.nodes.map((node) => node.target).join(" ")}`);
  }
  hold(found.passes.length > 10, `${name}: axe-core looked at ${found.passes.length} rules only`);
  await page.screenshot({ path: path.join(folder, `${colorScheme}-${width}.png`), fullPage: true });
  await page.context().close();
}

// Everything that can be used is reached by Tab, in the order in which it stands there, and can be seen to have the focus.
async function keyboard(browser) {
  const page = await open(browser, "keyboard", {});
  const selector = "a[href], summary, pre[tabindex]";
  const wanted = await page.evaluate((selector) => {
    // What a closed release hides is reached when it is opened.
    const all = [...document.querySelectorAll(selector)].filter((element) => element.matches("summary") || !element.closest("details:not([open])"));
    all.forEach((element, number) => { element.dataset.number = number; });
    return all.length;
  }, selector);
  hold(wanted > 15, `keyboard: ${wanted} things can be used`);
  for (let number = 0; number < wanted; number += 1) {
    await page.keyboard.press("Tab");
    const focused = await page.evaluate(() => {
      const element = document.activeElement;
      const style = getComputedStyle(element);
      return { number: Number(element.dataset.number), outline: style.outlineStyle, text: element.textContent.trim().slice(0, 30), box: element.getBoundingClientRect().left };
    });
    hold(focused.number === number, `keyboard: Tab ${number + 1} leads to ${focused.number} (${focused.text})`);
    hold(focused.outline !== "none", `keyboard: nobody sees that "${focused.text}" has the focus`);
    hold(focused.box >= 0, `keyboard: "${focused.text}" has the focus outside of the window`);
  }
  const closed = page.locator("section[aria-label=Releases] details").nth(1);
  await closed.locator("summary").focus();
  await page.keyboard.press("Enter");
  hold(await closed.evaluate((details) => details.open), "keyboard: Enter does not open a release");
  await page.context().close();
}

// RFC 4287, as far as it binds what we write.
async function feed(browser) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const answer = await context.request.get(new URL("feed.xml", url).href);
  const found = await page.evaluate((text) => {
    const faults = [];
    const ATOM = "http://www.w3.org/2005/Atom";
    const document = new DOMParser().parseFromString(text, "application/xml");
    if (document.querySelector("parsererror")) { return [document.querySelector("parsererror").textContent]; }
    const root = document.documentElement;
    if (root.localName !== "feed" || root.namespaceURI !== ATOM) { faults.push(`it begins with ${root.nodeName}`); }
    const of = (parent, name) => [...parent.children].filter((child) => child.localName === name && child.namespaceURI === ATOM);
    const ids = [];
    const check = (element, where) => {
      for (const name of ["id", "title", "updated"]) {
        if (of(element, name).length !== 1) { faults.push(`${where}: ${of(element, name).length} of ${name}`); }
      }
      const id = of(element, "id")[0].textContent;
      try { new URL(id); } catch (error) { faults.push(`${where}: the id ${id} is no absolute address`); }
      ids.push(id);
      const updated = of(element, "updated")[0].textContent;
      if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(updated) || Number.isNaN(Date.parse(updated))) { faults.push(`${where}: ${updated} is no time`); }
      const rels = of(element, "link").map((link) => {
        if (!link.getAttribute("href")) { faults.push(`${where}: a link leads nowhere`); }
        return link.getAttribute("rel") || "alternate";
      });
      if (new Set(rels).size !== rels.length) { faults.push(`${where}: two links of one kind`); }
      return updated;
    };
    const newest = check(root, "feed");
    if (!of(root, "link").some((link) => link.getAttribute("rel") === "self")) { faults.push("feed: no link to itself"); }
    const authors = of(root, "author");
    if (authors.length !== 1 || of(authors[0], "name").length !== 1) { faults.push("feed: no author"); }
    const entries = of(root, "entry");
    if (!entries.length) { faults.push("feed: no entries"); }
    for (const entry of entries) {
      const where = of(entry, "title")[0].textContent;
      if (check(entry, where) > newest) { faults.push(`${where}: newer than the feed`); }
      const content = of(entry, "content");
      if (content.length !== 1 || content[0].getAttribute("type") !== "html" || content[0].children.length) { faults.push(`${where}: its content is no HTML as text`); }
    }
    if (new Set(ids).size !== ids.length) { faults.push("two ids are the same"); }
    return faults;
  }, await answer.text());
  faults.push(...found.map((fault) => `feed: ${fault}`));
  await context.close();
}

main().then(() => {
  faults.forEach((fault) => console.log(fault));
  console.log(faults.length ? `${faults.length} faults` : "no faults");
  process.exit(faults.length ? 1 : 0);
}, (error) => {
  console.log(error.stack);
  process.exit(1);
});
