// People at the browser terminal. Takes what to play and where the venue is on standard input, prints what was seen as JSON.
import { createHmac } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { chromium, type Browser, type Page } from "playwright-core";

import { axed, doubted, given, isLive, opened, PASSWORD, problems, QUIET, sent, shown, SOON_MS } from "./browsing.ts";
import { trader } from "./trading.ts";

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
    const marked = await doubted(page, name === "order" ? ".tables" : ".ladder");
    process.kill(given.pids[name]!, "SIGKILL");
    stale.push(await marked());
    await isLive(page, true);
    await isLive(second, true);
  }
  await page.getByLabel("Size", { exact: true }).fill("0.1");
  await sent(page, "Buy ETH");
  await second.locator('[data-testid="fills"] tbody tr', { hasText: "0.1000" }).first().waitFor();
  await shown(second, "Balances");
  // Fills and balances come on streams of their own.
  await second.getByTestId("balances").locator("tr", { hasText: "100.35" }).waitFor();
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

/** The REST reference lists the services of its port, and asks the venue from the page. */
async function reference(browser: Browser): Promise<object> {
  const page = await opened(browser, `${given.url}/reference`);
  await page.locator(".opblock-tag").first().waitFor();
  const services = await page.locator(".opblock-tag").evaluateAll((tags) => tags.map((tag) => tag.getAttribute("data-tag")));
  await page.locator(".opblock-tag[data-tag=MarketDataService]").click();
  await page.locator("#operations-MarketDataService-MarketDataService_GetTicker").click();
  await page.getByPlaceholder("symbol").first().fill("ETH-USD");
  await page.getByRole("button", { name: "Execute" }).click();
  const answered = await page.locator(".live-responses-table .response .response-col_status").first().innerText();
  await page.screenshot({ path: `${given.folder}/reference.png` });
  await page.close();
  return { services, answered };
}

/** Whether the fullest order form is seen whole without a scroll. */
async function fits(page: Page): Promise<boolean> {
  await page.locator(".kinds select").selectOption({ label: "Stop limit" });
  for (const box of ["TP / SL", "Iceberg"]) await page.getByText(box).click();
  await page.getByLabel("Shown").waitFor();
  return page.locator(".ticket form").evaluate((form) => form.getBoundingClientRect().bottom <= innerHeight && form.parentElement!.scrollHeight <= form.parentElement!.clientHeight);
}

/** A phone's order form: a press from below, all of it in sight, and away again. */
async function tray(page: Page): Promise<object> {
  await page.locator(".deal").getByRole("button", { name: "Sell" }).click();
  const form = page.locator(".tray.open .ticket");
  await form.waitFor();
  const side = await page.getByRole("group", { name: "Side" }).locator('[aria-pressed="true"]').innerText();
  const price = await page.getByLabel("Price", { exact: true }).inputValue();
  const seen = await form.getByRole("link", { name: "Create an account" }).evaluate((button) => button.getBoundingClientRect().bottom <= innerHeight);
  const { violations } = await axed(page);
  await page.screenshot({ path: `${given.folder}/tray-narrow-dark.png` });
  await page.getByRole("button", { name: "Close the order form" }).click();
  await form.waitFor({ state: "hidden" });
  return { side, price: Number(price), seen, violations };
}

const WIDTHS = { wide: [1440, 900], middle: [1024, 768], narrow: [390, 844] } as const;

async function look(browser: Browser): Promise<object> {
  const found: Record<string, string[]> = {};
  const loaded: Record<string, number> = {};
  const form: Record<string, unknown> = {};
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
        // Every layout and both palettes are asked; the narrow one in light colours is a picture only.
        if (colorScheme === "dark" || name !== "narrow") {
          const { violations, passed } = await axed(page);
          checked = Math.min(checked, passed);
          if (violations.length) found[`${colorScheme} ${name} ${part}`] = violations;
        }
        await page.screenshot({ path: `${given.folder}/${part}-${name}-${colorScheme}.png` });
        if (part === "trade" && colorScheme === "dark" && name === "narrow") form.tray = await tray(page);
        if (part === "trade" && colorScheme === "dark" && name === "wide") form.fits = await fits(page);
      }
      await context.close();
    }
  // What a worker fetches is not among the page's own requests.
  return { found, loaded, checked, interactive, form, ...await reference(browser) };
}

async function signOn(browser: Browser): Promise<object> {
  const page = await opened(browser, given.address);
  await page.getByLabel("E-mail").fill("demo@venue.local");
  await page.getByLabel("Password").fill(given.logins["demo@venue.local"]!);
  await sent(page, "Log in");
  await page.getByRole("button", { name: "Allow", exact: true }).waitFor();
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

/** The link of the last mail to the address with the subject. */
async function mailed(address: string, subject: string): Promise<string> {
  for (const end = Date.now() + SOON_MS; Date.now() < end; await new Promise((again) => setTimeout(again, 100)))
    for (const name of readdirSync(given.mailbox).sort().reverse()) {
      if (!name.endsWith(".eml")) continue;
      const mail = readFileSync(join(given.mailbox, name), "utf8").replaceAll("=\r\n", "");
      if (!mail.includes(address) || !mail.includes(subject)) continue;
      const token = /^Token: (\S+)\r?$/m.exec(mail)?.[1];
      const link = /(\/#\/[a-z]+)\?token=/.exec(mail)?.[1];
      if (token && link) return `${given.url}${link}?token=${token}`;
    }
  throw new Error(`no mail "${subject}"`);
}

/** The code of a secret (RFC 6238), of the interval that lies so many intervals ahead. */
function codeOf(secret: string, ahead: number): string {
  const bits = [...secret].map((letter) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g)!.map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + ahead));
  const hash = createHmac("sha1", key).update(counter).digest();
  return String((hash.readUInt32BE(hash[19]! & 15) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

/** Verifies, enrolls a second factor, makes a key, sets another password by mail, and comes back in with a recovery code. */
async function portal(browser: Browser): Promise<object> {
  const page = await opened(browser, `${given.url}/#/login`);
  await page.getByLabel("E-mail").fill(given.address);
  await page.getByLabel("Password").fill("not this one at all");
  await sent(page, "Log in");
  const refused = await page.locator(".card .error").innerText();
  await page.getByLabel("Password").fill(PASSWORD);
  await sent(page, "Log in");
  await page.getByText("Log out").waitFor();
  await page.goto(`${given.url}/#/verify?token=nonsense`);
  await sent(page, "Verify");
  const unknown = await page.locator(".card .error").innerText();
  await page.goto(await mailed(given.address, "Verify your address"));
  await page.reload();
  await sent(page, "Verify");
  await page.getByText("Your address is verified").waitFor();

  await page.goto(`${given.url}/#/settings`);
  await page.getByText("verified", { exact: true }).waitFor();
  await sent(page, "Enroll");
  const picture = await page.locator(".qr").evaluate((image: HTMLImageElement) => image.complete && image.naturalWidth > 100);
  const secret = await page.locator(".enroll .secret").innerText();
  const recovery = await page.locator(".codes code").allInnerTexts();
  await page.getByLabel("Code", { exact: true }).fill("12");
  await sent(page, "Confirm");
  const malformed = await page.locator(".card .error").first().innerText();
  await page.getByLabel("Code", { exact: true }).fill(codeOf(secret, 0));
  await sent(page, "Confirm");
  await page.getByText("Enrolled: log-ins ask for its code.").waitFor();

  const keys = page.getByRole("region", { name: "Keys in use" });
  await page.getByLabel("Name", { exact: true }).fill("robot");
  await page.getByLabel("Networks").fill("not-an-address");
  await sent(page, "Make a key");
  const network = await page.locator("section", { hasText: "For programs" }).locator(".field .error").innerText();
  await page.getByLabel("Networks").fill("127.0.0.1");
  await sent(page, "Make a key");
  const key = await page.locator(".shown .secret").innerText();
  await keys.getByText("robot").waitFor();

  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByRole("link", { name: "Register" }).first().waitFor();
  await page.goto(`${given.url}/#/forgot`);
  await page.getByLabel("E-mail").fill(given.address);
  await sent(page, "Mail it");
  await page.getByText("Check your mail").first().waitFor();
  await page.goto(await mailed(given.address, "Set a new password"));
  await page.reload();
  await page.getByLabel("New password", { exact: true }).fill("password");
  await sent(page, "Set it");
  const weak = await page.locator(".field .error").innerText();
  await page.getByLabel("New password", { exact: true }).fill(`${PASSWORD} anew`);
  await sent(page, "Set it");
  await page.getByText("The new password is set").waitFor();

  await page.goto(`${given.url}/#/login`);
  await page.getByLabel("E-mail").fill(given.address);
  await page.getByLabel("Password").fill(`${PASSWORD} anew`);
  await sent(page, "Log in");
  await page.getByLabel(/recovery code/).fill(recovery[0]!);
  await sent(page, "Log in");
  await page.getByText("Log out").waitFor();
  await page.goto(`${given.url}/#/settings`);
  await page.getByRole("region", { name: "Open sessions" }).getByText("this one").waitFor();
  await keys.getByRole("button", { name: "Revoke" }).click();
  await keys.waitFor({ state: "detached" });
  return { refused, unknown, picture, recovery: recovery.length, malformed, network, key, weak };
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
  const refused = page.locator(".dialog .error").waitFor().then(() => page.locator(".dialog").innerText(), () => "");
  const done = page.getByRole("dialog").waitFor({ state: "detached" }).then(() => "");
  const said = await Promise.race([refused, done]);
  if (said) throw new Error(`refused: ${said}`);
}

/** Chooses another state of the market and leaves it by a key: where the keys were, and what the list of states says afterwards. */
async function leaving(page: Page): Promise<object> {
  const states = page.getByLabel(`State of ${given.symbol}`);
  await states.selectOption({ label: "Post only" });
  await page.getByRole("dialog").getByRole("textbox").waitFor();
  const asks = await page.evaluate(() => document.activeElement?.getAttribute("name"));
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  return { asks, state: await states.locator("option:checked").innerText() };
}

async function administration(browser: Browser): Promise<object> {
  const first = await entered(browser, "admin@venue.local");
  const figures = await first.locator(".figures").innerText();
  const unreadable = (await axed(first)).violations;
  await first.screenshot({ path: `${given.folder}/administration.png` });
  await shown(first, "Markets");
  const row = first.locator("tr", { hasText: given.symbol });
  const left = await leaving(first);
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
    // Others may have proposed something too.
    await second.locator("tr", { hasText: given.symbol }).getByRole("button", { name: "Approve" }).click();
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
  return { unreadable, figures, left, wrong, states, log, user };
}

/** How frames come while a book changes 60 times a second for some seconds. A measurement, for docs/terminal.md. */
async function frames(browser: Browser): Promise<object> {
  const page = await opened(browser, `${given.url}/#/trade/${given.symbol}`, { viewport: { width: 1600, height: 900 } });
  await isLive(page, true);
  // What is measured is a page that is there, not its coming.
  await page.locator(".candles canvas").first().waitFor();
  await page.evaluate(() => new Promise((idle) => requestIdleCallback(idle)));
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Performance.enable");
  const busy = async () => (await devtools.send("Performance.getMetrics")).metrics.find(({ name }) => name === "TaskDuration")!.value;
  const before = await busy();
  const seen = await page.evaluate(async () => {
    const gaps: number[] = [];
    const long: number[] = [];
    const tasks = new PerformanceObserver((list) => long.push(...list.getEntries().map(({ duration }) => Math.round(duration))));
    const begun = performance.now();
    const late: number[] = [];
    tasks.observe({ type: "longtask" });
    let changes = 0;
    const watched = new MutationObserver(() => changes++);
    watched.observe(document.querySelector(".levels")!, { subtree: true, characterData: true, childList: true });
    const end = performance.now() + 8_000;
    for (let before = performance.now(); before < end; ) {
      const now = await new Promise<number>((next) => requestAnimationFrame(next));
      gaps.push(now - before);
      if (now - before > 25) late.push(Math.round(now - begun));
      before = now;
    }
    watched.disconnect();
    tasks.disconnect();
    gaps.sort((a, b) => a - b);
    const at = (part: number) => Number(gaps[Math.floor(gaps.length * part)]!.toFixed(1));
    return { frames: gaps.length, changedFrames: changes, median: at(0.5), p95: at(0.95), p99: at(0.99), longest: at(0.9999), dropped: late.length, lateAtMs: late, longTasks: long };
  });
  return { ...seen, mainThreadBusy: Number((((await busy()) - before) / 8).toFixed(3)) };
}

/** The SDK's package in pages of other origins than the gateway's: what its conformance program saw in each. */
async function sdk(browser: Browser): Promise<object> {
  const seen: unknown[] = [];
  for (const origin of given.origins) {
    const page = await opened(browser, origin);
    await page.waitForFunction(() => "conformance" in globalThis);
    seen.push(await page.evaluate(([url, email, password]) => {
      type Program = (...given: string[]) => Promise<object>;
      const { conformance } = globalThis as unknown as { conformance: Program };
      return conformance(url!, email!, password!).catch((error: unknown) => `${error}`);
    }, [given.url, given.address, PASSWORD]));
    await page.close();
  }
  return { seen };
}

const PLAYS: Record<string, (browser: Browser) => Promise<object>> = { newcomer, portal, look, signOn, administration, frames, sdk, trader };
const args = given.hosts ? [...QUIET, `--host-resolver-rules=${given.hosts}`] : QUIET;
const browser = await chromium.launch({ executablePath: given.chromium, args, headless: true });
try {
  const seen = await PLAYS[given.play]!(browser);
  process.stdout.write(JSON.stringify({ ...seen, problems }));
} finally {
  await browser.close();
}
