// What plays at the browser terminal share: what they are given, pages, and what people do on them again and again.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { text } from "node:stream/consumers";

import type { Browser, BrowserContext, Page } from "playwright-core";

interface Given {
  play: string;
  url: string;
  administration: string;
  chromium: string;
  folder: string;
  pids: Record<string, number>;
  logins: Record<string, string>;
  mailbox: string;
  address: string;
  symbol: string;
  /** Names and ports that the browser finds elsewhere. */
  hosts: string;
  origins: string[];
}

export const given = JSON.parse(await text(process.stdin)) as Given;
export const PASSWORD = "correct horse battery 7";
export const SOON_MS = 30_000;
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
export const QUIET = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-default-apps"];

export const problems: string[] = [];

export async function opened(browser: Browser | BrowserContext, address: string, options: object = {}): Promise<Page> {
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

export const isLive = (page: Page, live: boolean): Promise<unknown> => page.waitForSelector(`[data-testid="connection"][data-live="${live}"]`);

/**
 * Begins to watch whether the page says that its numbers are not live, however shortly: a server is back within a second. What is
 * returned answers, once it has said so, whether the panel was marked with it.
 */
export async function doubted(page: Page, panel: string): Promise<() => Promise<boolean>> {
  await page.evaluate((selector) => {
    const told = new Promise<boolean>((done) => {
      let doubted = false;
      const watched = new MutationObserver(() => {
        const live = document.querySelector('[data-testid="connection"]')?.getAttribute("data-live") === "true";
        const marked = document.querySelector(`${selector}.stale`) !== null;
        if (live && !doubted) return;
        doubted = true;
        if (!live && !marked) return;
        watched.disconnect();
        done(!live && marked);
      });
      watched.observe(document.body, { subtree: true, attributes: true, childList: true });
    });
    Object.assign(globalThis, { told });
  }, panel);
  return () => page.evaluate(() => (globalThis as unknown as { told: Promise<boolean> }).told);
}

export const sent = (page: Page, text: string): Promise<void> => page.getByRole("button", { name: text, exact: true }).click();
export const shown = (page: Page, tab: string): Promise<void> => page.getByRole("tab", { name: tab }).click();

interface Rule {
  id: string;
  nodes: { html: string; failureSummary: string }[];
}

/** What axe finds against WCAG 2.1 AA, and how many rules it found kept. */
export async function axed(page: Page): Promise<{ violations: string[]; passed: number }> {
  // The page's policy lets no script in from outside; the protocol of the browser's own tools may.
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Runtime.evaluate", { expression: AXE });
  await devtools.detach();
  return page.evaluate(async () => {
    // What is still fading in has not its own colours yet.
    const passing = document.getAnimations().filter((each) => each.effect?.getComputedTiming().endTime !== Infinity);
    await Promise.allSettled(passing.map((each) => each.finished));
    const { axe } = globalThis as unknown as { axe: { run: (options: object) => Promise<{ violations: Rule[]; passes: Rule[] }> } };
    const { violations, passes } = await axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] });
    const said = (rule: Rule) => rule.nodes.slice(0, 2).map((node) => `${node.html.slice(0, 120)} ${node.failureSummary.slice(0, 160)}`);
    return { violations: violations.map((rule) => `${rule.id}: ${said(rule).join(" | ")}`), passed: passes.length };
  });
}
