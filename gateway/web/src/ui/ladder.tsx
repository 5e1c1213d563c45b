// The order book: asks above, bids below, the spread between; one's own orders marked; a press takes price and size.
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { openOrders } from "../account";
import { book, bookLive, bookVersion, market, picked, priceDigits, sizeDigits, symbol, ticker } from "../market";
import { amount, approximate, fixed, floorTo, parse, plain } from "../decimal";
import { eachFrame } from "../frames";
import { OrderType } from "@gen/venue/order/v1/order_pb";
import { Side } from "@gen/venue/type/v1/type_pb";
import { Select } from "./field";

// As the style sheet has them.
const rowPx = (): number => (matchMedia("(max-width: 759px)").matches ? 24 : 20);
const steps = [1, 5, 10, 50, 100, 500, 1000] as const;
export const grouping = signal<number>(1);

interface Painted {
  row: HTMLButtonElement;
  cells: [HTMLElement, HTMLElement, HTMLElement];
  bar: HTMLElement;
  /** What it shows: a row that shows the same again is not touched. */
  shown: string;
}

function rowOf(side: "bid" | "ask"): Painted {
  const row = document.createElement("button");
  row.type = "button";
  row.className = `level ${side}`;
  const bar = document.createElement("i");
  const cells = [0, 1, 2].map(() => document.createElement("span")) as [HTMLElement, HTMLElement, HTMLElement];
  row.append(bar, ...cells);
  return { row, cells, bar, shown: "?" };
}

const say = (node: HTMLElement, text: string): void => {
  if (node.textContent !== text) node.textContent = text;
};

/** Prices of one's own resting orders, in whole steps. */
function own(side: Side, step: bigint): Set<bigint> {
  const found = new Set<bigint>();
  for (const order of openOrders.value.values()) {
    if (order.symbol !== symbol.value || order.side !== side || !order.price || order.type === OrderType.TRAILING_STOP) continue;
    const price = amount(order.price);
    const down = floorTo(price, step);
    found.add(side === Side.SELL && down !== price ? down + step : down);
  }
  return found;
}

class Half {
  private rows: Painted[] = [];
  constructor(private readonly host: HTMLElement, private readonly side: "bid" | "ask") {
    host.addEventListener("click", (event) => {
      const row = (event.target as HTMLElement).closest<HTMLElement>(".level");
      if (row?.dataset.price) picked.value = { price: row.dataset.price, size: row.dataset.total!, side };
    });
  }

  /** The row nearest to the spread is where Tab comes to; arrows go on from it. */
  private reach(row: HTMLButtonElement, at: number): void {
    const index = at === 0 ? 0 : -1;
    if (row.tabIndex !== index) row.tabIndex = index;
  }

  draw(count: number, step: bigint, deepest: bigint, lists: ReturnType<typeof book.rows>): void {
    while (this.rows.length < count) {
      const made = rowOf(this.side);
      this.rows.push(made);
      if (this.side === "bid") this.host.append(made.row);
      else this.host.prepend(made.row);
    }
    while (this.rows.length > count) this.rows.pop()!.row.remove();
    const mine = own(this.side === "bid" ? Side.BUY : Side.SELL, step);
    const digits = priceDigits.value;
    this.rows.forEach((painted, at) => {
      const level = lists[at];
      const { row, cells, bar } = painted;
      const part = level && deepest ? (approximate(level.total) / approximate(deepest)).toFixed(3) : "0";
      const shown = level ? `${level.price} ${level.size} ${level.total} ${part} ${mine.has(level.price)} ${digits} ${sizeDigits.value}` : "";
      this.reach(row, at);
      if (painted.shown === shown) return;
      painted.shown = shown;
      row.classList.toggle("none", !level);
      row.disabled = !level;
      if (!level) {
        for (const cell of cells) say(cell, "");
        bar.style.transform = "scaleX(0)";
        delete row.dataset.price;
        return;
      }
      const price = plain(level.price);
      if (row.dataset.price !== price) row.dataset.price = price;
      row.dataset.total = plain(level.total);
      say(cells[0], fixed(level.price, digits));
      say(cells[1], fixed(level.size, sizeDigits.value));
      say(cells[2], fixed(level.total, sizeDigits.value));
      bar.style.transform = `scaleX(${part})`;
      const marked = mine.has(level.price);
      row.classList.toggle("own", marked);
      row.title = marked ? "Your order rests here" : "";
    });
  }
}

function stepped(event: KeyboardEvent): void {
  if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
  const rows = [...(event.currentTarget as HTMLElement).querySelectorAll<HTMLButtonElement>(".level:not(.none)")];
  const at = rows.indexOf(document.activeElement as HTMLButtonElement);
  if (at < 0) return;
  event.preventDefault();
  rows[at + (event.key === "ArrowDown" ? 1 : -1)]?.focus();
}

export function Ladder() {
  const asks = useRef<HTMLDivElement>(null);
  const bids = useRef<HTMLDivElement>(null);
  const middle = useRef<HTMLDivElement>(null);
  const body = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const upper = new Half(asks.current!, "ask");
    const lower = new Half(bids.current!, "bid");
    const height = signal(0);
    const sized = new ResizeObserver(([entry]) => (height.value = entry!.contentRect.height));
    sized.observe(body.current!);
    const read = (): void => {
      void [bookVersion.value, grouping.value, openOrders.value, height.value, ticker.value, bookLive.value, market.value];
    };
    const draw = (): void => {
      if (!middle.current) return;
      const count = Math.max(3, Math.floor((height.value - 30) / 2 / rowPx()));
      const step = (parse(market.value?.tickSize ?? "0.01") ?? 1n) * BigInt(grouping.value);
      const [askRows, bidRows] = [book.rows("ask", step, count), book.rows("bid", step, count)];
      const deepest = [askRows.at(-1)?.total ?? 0n, bidRows.at(-1)?.total ?? 0n].reduce((a, b) => (a > b ? a : b));
      upper.draw(count, step, deepest, askRows);
      lower.draw(count, step, deepest, bidRows);
      const [ask, bid] = [book.asks[0]?.price, book.bids[0]?.price];
      const [last, spread] = middle.current.children as unknown as [HTMLElement, HTMLElement];
      say(last, ticker.value?.lastPrice ? fixed(amount(ticker.value.lastPrice), priceDigits.value) : "–");
      const apart = ask !== undefined && bid !== undefined ? ask - bid : null;
      const points = apart === null ? "" : ` · ${((approximate(apart) / approximate(ask!)) * 10_000).toFixed(1)} bps`;
      say(spread, apart === null ? "no spread" : `spread ${fixed(apart, priceDigits.value)}${points}`);
    };
    const end = eachFrame(read, draw);
    return () => {
      end();
      sized.disconnect();
    };
  }, []);
  const base = market.value?.baseAsset ?? "";
  const tick = parse(market.value?.tickSize ?? "0.01") ?? 1n;
  return (
    <section class={`panel ladder live${bookLive.value ? "" : " stale"}`} aria-label="Order book">
      <header class="panel-head">
        <h2>Book</h2>
        <Select bare label="Price step of the book" value={grouping.value} onChange={(value) => (grouping.value = value)}
          options={steps.map((step) => [step, plain(tick * BigInt(step))] as const)} />
      </header>
      <div class="level-head" aria-hidden="true"><span>Price</span><span>Size {base}</span><span>Total</span></div>
      <div class="levels" ref={body} onKeyDown={stepped}>
        <div class="half asks" ref={asks} role="group" aria-label="Asks" />
        <div class="middle" ref={middle}><b /><span /></div>
        <div class="half bids" ref={bids} role="group" aria-label="Bids" />
      </div>
    </section>
  );
}
