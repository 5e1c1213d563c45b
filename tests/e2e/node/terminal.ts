// People at the browser terminal. Takes what to play and where the venue is on standard input, prints what was seen as JSON.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { text } from "node:stream/consumers";

import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core";

interface Given {
  play: string;
  url: string;
  administration: string;
  chromium: string;
  folder: string;
  pids: Record<string, number>;
  logins: Record<string, string>;
  address: string;
  symbol: string;
}

const given = JSON.parse(await text(process.stdin)) as Given;
const PASSWORD = "correct horse battery 7";
const SOON_MS = 30_000;
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const QUIET = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-default-apps"];

const problems: string[] = [];

async function opened(browser: Browser | BrowserContext, address: string, options: object = {}): Promise<Page> {
  const page = await browser.newPage(options as never);
  page.setDefaultTimeout(SOON_MS);
  page.on("pageerror", (error) => problems.push(`${error}`));
  page.on("console", (message) => {
    // That a server is away is what the browser itself says in the console, and what the page has to live with.
    if (message.type() === "error" && !/Failed to load resource|net::ERR|503/.test(message.text())) problems.push(message.text());
  });
  await page.goto(address);
  return page;
}

const isLive = (page: Page, live: boolean): Promise<unknown> => page.waitForSelector(`[data-testid="connection"][data-live="${live}"]`);
const sent = (page: Page, text: string): Promise<void> => page.getByRole("button", { name: text, exact: true }).click();
const shown = (page: Page, tab: string): Promise<void> => page.getByRole("tab", { name: tab }).click();

async function register(page: Page, address: string): Promise<Record<string, string>> {
  await page.goto(`${given.url}/#/register`);
  await page.getByLabel("E-mail").fill("nobody");
  await page.getByLabel("Password").fill("short");
  await sent(page, "Register");
  await page.locator(".field.wrong").first().waitFor();
  const wrong: Record<string, string> = {};
  for (const field of await page.locator(".field.wrong").all()) wrong[await field.locator("label").innerText()] = await field.locator(".error").innerText();
  await page.getByLabel("E-mail").fill(address);
  await page.getByLabel("Name").fill("Newcomer");
  await page.getByLabel("Password").fill(PASSWORD);
  await sent(page, "Register");
  await page.getByRole("button", { name: "Open a demo account" }).click();
  await page.getByRole("button", { name: "Buy ETH" }).waitFor();
  return wrong;
}

async function newcomer(browser: Browser): Promise<object> {
  const context = await browser.newContext({ viewport: { width: 1600, height: 900 }, colorScheme: "dark" });
  const page = await opened(context, given.url);
  const wrong = await register(page, given.address);
  await page.goto(`${given.url}/#/trade/ETH-USD`);
  await isLive(page, true);
  await page.locator(".level.bid:not(.none)").first().waitFor();
  const prefilled = await page.getByLabel("Price", { exact: true }).inputValue();
  const second = await opened(context, `${given.url}/#/trade/ETH-USD`);
  await isLive(second, true);

  // An order that rests, seen at once in the other window, marked in the book, changed in its place.
  await page.getByLabel("Price", { exact: true }).fill("3000.001");
  await page.getByLabel("Size", { exact: true }).fill("0.5");
  await page.locator(".checks li").first().waitFor();
  const failed = await page.locator(".checks").innerText();
  await page.getByLabel("Price", { exact: true }).fill("3000");
  await page.getByText(/all \d+ passed/).waitFor();
  const cost = await page.getByTestId("cost").innerText();
  await sent(page, "Buy ETH");
  await second.locator(".tables tbody tr").first().waitFor();
  const resting = await second.locator(".tables tbody tr").first().innerText();
  await page.locator(".amend").first().click();
  await page.locator(".amending input").fill("2999");
  await page.keyboard.press("Enter");
  await second.locator(".tables tbody", { hasText: "2,999.00" }).waitFor();
  await page.locator(".tables tbody", { hasText: "2,999.00" }).waitFor();
  await page.locator(".tables tbody tr").first().click();
  const filledForm = await page.getByLabel("Price", { exact: true }).inputValue();

  // A row of the book fills price and the size up to it; a market order trades, and the other window sees the fill.
  await page.locator(".level.ask:not(.none)").last().click();
  const picked = [await page.getByLabel("Price", { exact: true }).inputValue(), await page.getByLabel("Size", { exact: true }).inputValue()];
  await shown(second, "Fills");
  await page.getByRole("group", { name: "Order type" }).getByRole("button", { name: "Market" }).click();
  await page.getByLabel("Size", { exact: true }).fill("0.25");
  await sent(page, "Buy ETH");
  await second.getByTestId("fills").locator("tbody tr").first().waitFor();
  const fill = await second.getByTestId("fills").locator("tbody tr").first().innerText();
  await page.screenshot({ path: `${given.folder}/trading.png` });
  const unreadable = (await axed(page)).violations;

  // Servers are killed: nothing is shown as live meanwhile, and all of it comes back by itself.
  const stale: boolean[] = [];
  for (const name of ["marketdata", "order"]) {
    const doubted = isLive(page, false).then(() => page.locator(name === "order" ? ".tables.stale" : ".ladder.stale").count());
    process.kill(given.pids[name]!, "SIGKILL");
    stale.push((await doubted) > 0);
    await isLive(page, true);
    await isLive(second, true);
  }
  await page.getByLabel("Size", { exact: true }).fill("0.1");
  await sent(page, "Buy ETH");
  await second.locator('[data-testid="fills"] tbody tr', { hasText: "0.1000" }).first().waitFor();
  await shown(second, "Balances");
  const balances = await second.getByTestId("balances").innerText();
  await shown(second, "Open orders");
  await second.getByRole("button", { name: "Cancel all" }).click();
  await page.locator(".tables", { hasText: "No open orders" }).waitFor();

  // Without a network numbers are marked at once.
  await context.setOffline(true);
  await isLive(page, false);
  await context.setOffline(false);
  await isLive(page, true);

  // Nor while the tab sleeps; on waking it is told anew.
  await page.evaluate(() => document.dispatchEvent(new Event("freeze")));
  await isLive(page, false);
  await page.evaluate(() => document.dispatchEvent(new Event("resume")));
  await isLive(page, true);
  await page.goto(`${given.url}/#/settings`);
  await page.getByText("Second factor").first().waitFor();
  unreadable.push(...(await axed(page)).violations);
  await page.screenshot({ path: `${given.folder}/settings.png`, fullPage: true });
  return { unreadable, wrong, prefilled, failed, cost, resting, filledForm, picked, fill, stale, balances };
}

interface Rule {
  id: string;
  nodes: { html: string; failureSummary: string }[];
}

/** What axe finds against WCAG 2.1 AA, and how many rules it found kept. */
async function axed(page: Page): Promise<{ violations: string[]; passed: number }> {
  // The page's policy lets no script in from outside; the protocol of the browser's own tools may.
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Runtime.evaluate", { expression: AXE });
  await devtools.detach();
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: { run: (options: object) => Promise<{ violations: Rule[]; passes: Rule[] }> } };
    const { violations, passes } = await axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] });
    const said = (rule: Rule) => rule.nodes.slice(0, 2).map((node) => `${node.html.slice(0, 120)} ${node.failureSummary.slice(0, 160)}`);
    return { violations: violations.map((rule) => `${rule.id}: ${said(rule).join(" | ")}`), passed: passes.length };
  });
}

const WIDTHS = { wide: [1600, 900], middle: [1024, 768], narrow: [390, 844] } as const;

async function look(browser: Browser): Promise<object> {
  const found: Record<string, string[]> = {};
  const loaded: Record<string, number> = {};
  let checked = Infinity;
  let interactive = Infinity;
  for (const colorScheme of ["dark", "light"] as const)
    for (const [name, [width, height]] of Object.entries(WIDTHS)) {
      if (colorScheme === "light" && name === "middle") continue;
      const context = await browser.newContext({ viewport: { width, height }, colorScheme });
      const page = await opened(context, "about:blank");
      const devtools = await context.newCDPSession(page);
      await devtools.send("Network.enable");
      let bytes = 0;
      const kinds = new Map<string, boolean>();
      devtools.on("Network.responseReceived", ({ requestId, response }) => kinds.set(requestId, !response.mimeType.startsWith("application/grpc")));
      devtools.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => (bytes += kinds.get(requestId) ? encodedDataLength : 0));
      const begun = performance.now();
      await page.goto(`${given.url}/#/trade/ETH-USD`);
      await isLive(page, true);
      if (name !== "narrow") await page.locator(".level.bid:not(.none)").first().waitFor();
      interactive = Math.min(interactive, Math.round(performance.now() - begun));
      await page.locator("canvas").first().waitFor();
      loaded[`${colorScheme} ${name}`] = bytes;
      for (const [part, address] of [["trade", "trade/ETH-USD"], ["markets", "markets"], ["register", "register"]]) {
        await page.goto(`${given.url}/#/${address}`);
        await page.locator("main").first().waitFor();
        if (part === "trade") await page.locator(name === "narrow" ? ".bar .last" : ".level.bid:not(.none)").first().waitFor();
        const { violations, passed } = await axed(page);
        checked = Math.min(checked, passed);
        if (violations.length) found[`${colorScheme} ${name} ${part}`] = violations;
        await page.screenshot({ path: `${given.folder}/${part}-${name}-${colorScheme}.png` });
      }
      await context.close();
    }
  // What a worker fetches is not among the page's own requests.
  return { found, loaded, checked, interactive };
}

async function signOn(browser: Browser): Promise<object> {
  const page = await opened(browser, given.address);
  await page.getByLabel("E-mail").fill("demo@venue.local");
  await page.getByLabel("Password").fill(given.logins["demo@venue.local"]!);
  await sent(page, "Log in");
  const asked = await page.locator(".card").innerText();
  let back = "";
  await page.route(/127\.0\.0\.1:1\//, (route) => {
    back = route.request().url();
    return route.fulfill({ status: 200, body: "back" });
  });
  await sent(page, "Allow");
  await page.waitForURL(/127\.0\.0\.1:1\//);
  return { asked, back };
}

async function entered(browser: Browser, email: string): Promise<Page> {
  const page = await opened(browser, given.administration, { viewport: { width: 1440, height: 900 } });
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill(given.logins[email]!);
  await sent(page, "Log in");
  await page.getByText("Partitions led").waitFor();
  return page;
}

async function decided(page: Page, why: string): Promise<void> {
  await page.getByRole("dialog").getByRole("textbox").fill(why);
  await sent(page, "Do it");
  await page.getByRole("dialog").waitFor({ state: "detached" });
}

async function administration(browser: Browser): Promise<object> {
  const first = await entered(browser, "admin@venue.local");
  const figures = await first.locator(".figures").innerText();
  const unreadable = (await axed(first)).violations;
  await first.screenshot({ path: `${given.folder}/administration.png` });
  await shown(first, "Markets");
  const row = first.locator("tr", { hasText: given.symbol });
  await row.getByRole("button", { name: "Halt" }).click();
  await first.getByRole("dialog").getByRole("textbox").fill("x");
  await sent(first, "Do it");
  const wrong = await first.getByRole("dialog").locator(".error").innerText();
  await decided(first, "a look at the feed");
  const second = await entered(browser, "checker@venue.local");
  const trader = await opened(browser, `${given.url}/#/trade/${given.symbol}`);
  const states: string[] = [];
  for (const state of ["Halted", "Open"]) {
    await shown(second, "Pending");
    await second.getByRole("button", { name: "Approve" }).first().click();
    await decided(second, "seen");
    await trader.locator(".bar", { hasText: state }).waitFor();
    states.push(await trader.locator(".bar .badge").innerText());
    if (state === "Open") break;
    await shown(first, "System");
    await shown(first, "Markets");
    await row.getByRole("button", { name: "Resume" }).click();
    await decided(first, "it is well");
    await shown(second, "System");
  }
  await shown(first, "Audit log");
  await first.getByText("MARKET_STATE_SET").first().waitFor();
  const log = await first.locator("tbody").innerText();
  await shown(first, "Users");
  await first.getByLabel("E-mail, id or name").fill("demo@");
  await sent(first, "Search");
  await first.getByRole("button", { name: "demo@venue.local" }).click();
  const user = await first.locator(".card").innerText();
  return { unreadable, figures, wrong, states, log, user };
}

/** How frames come while a book changes 60 times a second for some seconds. A measurement, for docs/terminal.md. */
async function frames(browser: Browser): Promise<object> {
  const page = await opened(browser, `${given.url}/#/trade/${given.symbol}`, { viewport: { width: 1600, height: 900 } });
  await isLive(page, true);
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Performance.enable");
  const busy = async () => (await devtools.send("Performance.getMetrics")).metrics.find(({ name }) => name === "TaskDuration")!.value;
  const before = await busy();
  const seen = await page.evaluate(async () => {
    const gaps: number[] = [];
    let changes = 0;
    const watched = new MutationObserver(() => changes++);
    watched.observe(document.querySelector(".levels")!, { subtree: true, characterData: true, childList: true });
    const end = performance.now() + 8_000;
    for (let before = performance.now(); before < end; ) {
      const now = await new Promise<number>((next) => requestAnimationFrame(next));
      gaps.push(now - before);
      before = now;
    }
    watched.disconnect();
    gaps.sort((a, b) => a - b);
    const at = (part: number) => Number(gaps[Math.floor(gaps.length * part)]!.toFixed(1));
    return { frames: gaps.length, changedFrames: changes, median: at(0.5), p95: at(0.95), p99: at(0.99), longest: at(0.9999), dropped: gaps.filter((gap) => gap > 25).length };
  });
  return { ...seen, mainThreadBusy: Number((((await busy()) - before) / 8).toFixed(3)) };
}

const PLAYS: Record<string, (browser: Browser) => Promise<object>> = { newcomer, look, signOn, administration, frames };
const browser = await chromium.launch({ executablePath: given.chromium, args: QUIET, headless: true });
try {
  const seen = await PLAYS[given.play]!(browser);
  process.stdout.write(JSON.stringify({ ...seen, problems }));
} finally {
  await browser.close();
}
