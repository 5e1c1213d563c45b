// Somebody at the trading page who uses all that it has: chart, depth, keys, every type of order, the book's steps, a row's press.
import type { Browser, Page } from "playwright-core";

import { given, isLive, opened, PASSWORD, sent, shown } from "./browsing.ts";

const kindOf = (page: Page, name: string): Promise<void> => page.getByRole("group", { name: "Order type" }).getByRole("button", { name }).click();
const filled = (page: Page, label: string, value: string): Promise<void> => page.getByLabel(label, { exact: true }).fill(value);
const valueOf = (page: Page, label: string): Promise<string> => page.getByLabel(label, { exact: true }).inputValue();
const rows = (page: Page) => page.locator(".tables tbody tr");

/** History, then what happens since; the depth of the book. */
async function charted(page: Page): Promise<object> {
  const candles = page.locator(".candles[data-bars]");
  await candles.waitFor();
  const legend = page.locator(".legend");
  await legend.filter({ hasText: /O\s[\d,.]+\s+H/ }).waitFor();
  const before = await legend.innerText();
  await page.waitForFunction((told) => document.querySelector(".legend")!.textContent !== told, before);
  const bars = Number(await candles.getAttribute("data-bars"));
  await page.getByRole("button", { name: "5m", exact: true }).click();
  const described = await page.locator('.candles[aria-label*="5m"]').getAttribute("aria-label");
  await page.getByRole("button", { name: "1m", exact: true }).click();
  await shown(page, "Depth");
  const canvas = page.locator(".chart canvas");
  await canvas.waitFor();
  // Two filled halves, and not a line of text in their place.
  await page.waitForFunction(() => {
    const paper = document.querySelector<HTMLCanvasElement>(".chart canvas")!;
    if (!paper.width || !paper.height) return false;
    const { data } = paper.getContext("2d")!.getImageData(0, 0, paper.width, paper.height);
    let painted = 0;
    for (let at = 3; at < data.length; at += 4) if (data[at]) painted++;
    return painted > data.length / 4 / 10;
  });
  await shown(page, "Price");
  return { bars, described };
}

/** What keys do; each as it is seen on the page afterwards. */
async function typed(page: Page): Promise<object> {
  const press = (key: string): Promise<void> => page.keyboard.press(key);
  const pressed = (group: string): Promise<string> => page.getByRole("group", { name: group }).locator('[aria-pressed="true"]').innerText();
  /** A key that leads into an input, from where no input has the keys. */
  const into = async (key: string, name: string): Promise<void> => {
    await press("Escape");
    await press(key);
    await page.waitForFunction((wanted) => document.activeElement?.getAttribute("name") === wanted, name);
  };
  await into("s", "size");
  const sell = await pressed("Side");
  await into("m", "size");
  const market = await pressed("Order type");
  await into("b", "size");
  await into("l", "price");
  // What a market order lives for is not what the next limit order does.
  const lives = await page.getByLabel("Time in force").locator("option:checked").innerText();
  await filled(page, "Price", "3000");
  await press("ArrowUp");
  await press("Shift+ArrowUp");
  const ticks = await valueOf(page, "Price");
  await press("Escape");
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme ?? "dark");
  const themes = [await theme()];
  for (let times = 0; times < 2; times++) {
    await press("t");
    themes.push(await theme());
  }
  await press("?");
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  await press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  return { sell, market, lives, ticks, themes };
}

/** Every type of order that the form offers is previewed and placed; then one is cancelled, and all others by a key. */
async function ordered(page: Page): Promise<object> {
  const last = Number((await page.getByTestId("last").innerText()).replaceAll(",", ""));
  const [above, below] = [(last * 1.05).toFixed(2), (last * 0.95).toFixed(2)];
  const form = page.locator(".ticket form");
  const types = await page.locator(".kinds option:not([disabled])").allInnerTexts();
  for (const type of ["Limit", ...types]) {
    if (type === "Limit") await kindOf(page, type);
    else await page.locator(".kinds select").selectOption({ label: type });
    // A buyer's stop waits above the market, a buyer's take-profit below it.
    const taking = /take/i.test(type);
    if (await form.locator('[name="stop"]').count()) await form.locator('[name="stop"]').fill(taking ? below : above);
    if (await form.locator('[name="price"]').count()) await form.locator('[name="price"]').fill(/stop limit/i.test(type) ? above : below);
    if (await page.getByLabel("Distance").count()) await filled(page, "Distance", "5");
    await filled(page, "Size", "0.01");
    if (type === "Limit") {
      await page.getByText("TP / SL").click();
      await filled(page, "Take profit at", above);
      await filled(page, "Stop loss at", (last * 0.9).toFixed(2));
      await page.getByText("Iceberg").click();
      await filled(page, "Shown", "0.001");
    }
    await page.getByText(/all \d+ passed/).waitFor();
    const [count, told] = [await rows(page).count(), page.locator(".toast", { hasText: /Placed|Waiting/ }).last().waitFor()];
    await sent(page, "Buy ETH");
    await told;
    await page.waitForFunction((many) => document.querySelectorAll(".tables tbody tr").length > many, count);
    if (type === "Limit") for (const box of ["TP / SL", "Iceberg"]) await page.getByText(box).click();
  }
  const placed = await rows(page).count();
  await rows(page).first().getByRole("button", { name: /^Cancel/ }).click();
  await page.waitForFunction((many) => document.querySelectorAll(".tables tbody tr").length < many, placed);
  page.once("dialog", (asked) => void asked.accept());
  await page.keyboard.press("Escape");
  await page.keyboard.press("x");
  await page.locator(".tables", { hasText: "No open orders" }).waitFor();
  await kindOf(page, "Market");
  await filled(page, "Size", "0.01");
  const told = page.locator(".toast", { hasText: "Filled" }).waitFor();
  await sent(page, "Buy ETH");
  await told;
  await page.locator(".tape li", { hasText: "0.0100" }).first().waitFor();
  await shown(page, "Positions");
  await rows(page).filter({ hasText: "ETH-USD" }).waitFor();
  const position = await rows(page).first().innerText();
  await shown(page, "Order history");
  const history = await rows(page).allInnerTexts();
  await shown(page, "Open orders");
  return { types, position, history: history.length };
}

/** The venue takes an order and every answer to it is lost; then one without a size. What the page says of them, and what was placed. */
async function unheard(page: Page): Promise<object> {
  await kindOf(page, "Limit");
  await filled(page, "Price", "3000");
  await filled(page, "Size", "0.02");
  const calls = /OrderService\/PlaceOrder$/;
  await page.route(calls, async (route) => {
    await route.fetch();
    await route.abort();
  });
  await sent(page, "Buy ETH");
  await page.locator(".toast", { hasText: "No answer" }).waitFor();
  await page.unroute(calls);
  await rows(page).filter({ hasText: "0.0200" }).waitFor();
  const placed = await rows(page).count();
  await page.getByRole("button", { name: "Cancel all" }).click();
  await page.locator(".tables", { hasText: "No open orders" }).waitFor();
  await filled(page, "Size", "");
  await sent(page, "Buy ETH");
  return { placed, empty: await page.locator(".ticket .field.wrong .error").innerText() };
}

/** Nonsense in every field at once: what each says of it. */
async function mistaken(page: Page): Promise<Record<string, string>> {
  await page.locator(".kinds select").selectOption({ label: "Stop limit" });
  await page.getByText("TP / SL").click();
  await page.getByText("Iceberg").click();
  for (const label of ["Stop price", "Price", "Size", "Shown", "Take profit at", "Stop loss at"]) await filled(page, label, "1e5");
  await sent(page, "Buy ETH");
  await page.locator(".field.wrong").first().waitFor();
  const said: Record<string, string> = {};
  for (const field of await page.locator(".ticket .field.wrong").all()) said[await field.locator("label").innerText()] = await field.locator(".error").innerText();
  return said;
}

/** In a market of one's own orders: they are marked, steps add them up, and a row's press takes its price and all up to it. */
async function laddered(page: Page): Promise<object> {
  await page.goto(`${given.url}/#/trade/${given.symbol}`);
  await page.locator(".ticket button.place", { hasText: given.symbol.split("-")[0]! }).waitFor();
  await isLive(page, true);
  await kindOf(page, "Limit");
  for (const box of ["TP / SL", "Iceberg"]) if (await page.getByLabel(box).isChecked()) await page.getByText(box).click();
  for (const [price, size] of [["10.01", "1.5"], ["10.03", "2"], ["10.12", "4"]] as const) {
    await filled(page, "Price", price);
    await filled(page, "Size", size);
    await sent(page, `Buy ${given.symbol.split("-")[0]}`);
    await page.locator(`.level.bid.own[data-price="${price}"]`).waitFor();
  }
  const row = async (price: string) => (await page.locator(`.level.bid[data-price="${price}"] span`).allInnerTexts()).slice(1);
  const fine = await row("10.03");
  await page.getByLabel("Price step of the book").selectOption({ label: "0.1" });
  await page.locator('.level.bid.own[data-price="10.1"]').waitFor();
  const coarse = await row("10");
  await page.locator('.level.bid[data-price="10"]').click();
  const picked = [await valueOf(page, "Price"), await valueOf(page, "Size")];
  await page.getByRole("button", { name: "Cancel all" }).click();
  await page.locator(".tables", { hasText: "No open orders" }).waitFor();
  await page.getByLabel("Price step of the book").selectOption({ label: "0.01" });
  return { fine, coarse, picked };
}

export async function trader(browser: Browser): Promise<object> {
  const page = await opened(browser, `${given.url}/#/login`, { viewport: { width: 1440, height: 900 }, colorScheme: "dark" });
  await filled(page, "E-mail", given.address);
  await filled(page, "Password", PASSWORD);
  await sent(page, "Log in");
  await page.getByText("Log out").waitFor();
  await page.goto(`${given.url}/#/trade/ETH-USD`);
  await page.getByRole("button", { name: "Buy ETH" }).waitFor();
  await isLive(page, true);
  return { chart: await charted(page), keys: await typed(page), orders: await ordered(page), unheard: await unheard(page), wrong: await mistaken(page), book: await laddered(page) };
}
