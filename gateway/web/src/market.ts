// Markets, and what is live of the one that is shown.
import { computed, signal } from "@preact/signals";
import { Channel, type BookLevel, type Candle, type Market, type Ticker, type Trade } from "@gen/venue/marketdata/v1/marketdata_pb";
import { Environment } from "@gen/venue/type/v1/type_pb";
import { marketData } from "./api";
import { Book } from "./book";
import { amount, digitsOf } from "./decimal";
import { listen, marketLive, want } from "./stream/feed";

const TAPE = 200;
// A stream takes 50 subscriptions: all channels of one market, the ticker of these others.
const WATCHED_MAX = 40;

export const environment = signal<Environment>(Environment.UNSPECIFIED);
export const markets = signal<Market[]>([]);
export const marketsFailed = signal(false);
export const tickers = signal<ReadonlyMap<string, Ticker>>(new Map());
export const symbol = signal("");
export const market = computed(() => markets.value.find((one) => one.symbol === symbol.value));
export const ticker = computed(() => tickers.value.get(symbol.value));
export const priceDigits = computed(() => digitsOf(market.value?.tickSize ?? "0.01"));
export const sizeDigits = computed(() => digitsOf(market.value?.lotSize ?? "0.0001"));
export const trades = signal<Trade[]>([]);
export const book = new Book();
/** Grows with each change of the book; a screen reads it once a frame. */
export const bookVersion = signal(0);
export const bookLive = computed(() => marketLive.value && bookVersion.value > 0 && book.whole);
/** Rows of the book that a press chose: its price and the size up to it. */
export const picked = signal<{ price: string; size: string; side: "bid" | "ask" } | null>(null);

type CandleListener = (candle: Candle | null) => void;
const candleListeners = new Set<CandleListener>();

/** Candles of a minute as they change; null: some were missed. */
export function onCandle(listener: CandleListener): () => void {
  candleListeners.add(listener);
  return () => candleListeners.delete(listener);
}

type TradeListener = (trades: Trade[]) => void;
const tradeListeners = new Set<TradeListener>();
export function onTrades(listener: TradeListener): () => void {
  tradeListeners.add(listener);
  return () => tradeListeners.delete(listener);
}

/** Asks for the markets until they are there. */
export async function loadMarkets(): Promise<void> {
  for (let pause = 300; ; pause = Math.min(pause * 2, 5_000)) {
    try {
      const [listed, last] = await Promise.all([
        marketData.listMarkets({ environment: environment.peek(), pageSize: 500 }),
        marketData.listTickers({ environment: environment.peek() }),
      ]);
      markets.value = listed.markets;
      tickers.value = new Map(last.tickers.map((one) => [one.symbol, one]));
      const there = listed.markets[0]?.environment;
      if (there && environment.peek() === Environment.UNSPECIFIED) environment.value = there;
      marketsFailed.value = false;
      return show(symbol.peek());
    } catch {
      marketsFailed.value = true;
      await new Promise((done) => setTimeout(done, pause));
    }
  }
}

/** Shows a market; empty: none, only the tickers of all. */
export function show(next: string): void {
  if (next !== symbol.peek()) {
    symbol.value = next;
    trades.value = [];
    book.forget();
    bookVersion.value = 0;
    picked.value = null;
  }
  const others = markets.peek().map((one) => one.symbol).slice(0, WATCHED_MAX);
  const all = others.filter((one) => one !== next).map((one) => ({ symbol: one, channel: Channel.TICKER }));
  const own = [Channel.BOOK, Channel.TRADES, Channel.TICKER, Channel.CANDLES, Channel.STATUS];
  const there = markets.peek().some((one) => one.symbol === next);
  if (markets.peek().length) want(environment.peek(), [...(there ? own.map((channel) => ({ symbol: next, channel })) : []), ...all]);
}

/** Another world: its markets, from the start. */
export async function enter(next: Environment): Promise<void> {
  if (next === environment.peek()) return;
  environment.value = next;
  markets.value = [];
  tickers.value = new Map();
  book.forget();
  bookVersion.value = 0;
  trades.value = [];
  await loadMarkets();
}

let pending: Map<string, Ticker> | null = null;

function tell(one: Ticker): void {
  if (!pending) {
    pending = new Map(tickers.peek());
    queueMicrotask(() => {
      tickers.value = pending!;
      pending = null;
    });
  }
  pending.set(one.symbol, one);
}

function traded(list: Trade[], anew: boolean): void {
  const known = trades.peek();
  const ids = new Set(known.slice(0, TAPE).map((one) => one.tradeId));
  const fresh = list.filter((one) => !ids.has(one.tradeId));
  if (!fresh.length && !anew) return;
  const merged = [...fresh.reverse(), ...known];
  // A snapshot after a break may be newer than what is known by more than it holds: then what lies before is left out.
  const linked = !anew || known.length === 0 || list.some((one) => ids.has(one.tradeId));
  trades.value = (linked ? merged : [...list].reverse()).slice(0, TAPE);
  if (fresh.length) for (const listener of tradeListeners) listener(fresh);
}

const levels = (list: BookLevel[]) => list;

listen((message) => {
  if (message.kind === "state" && !message.states.market) {
    book.doubt();
    bookVersion.value++;
    return;
  }
  if (message.kind !== "market" || message.environment !== environment.peek()) return;
  const said = message.frame.frame;
  if (said.case === "gap") return;
  if (said.case !== "snapshot" && said.case !== "event") return;
  const { symbol: of, data } = said.value;
  if (data.case === "ticker") return tell(data.value);
  if (data.case === "market") {
    const known = markets.peek();
    markets.value = known.map((one) => (one.symbol === of ? (data.value as Market) : one));
    return;
  }
  if (of !== symbol.peek()) return;
  if (data.case === "trades") return traded(data.value.trades, said.case === "snapshot");
  if (data.case === "candle") {
    if (said.case === "snapshot") for (const listener of candleListeners) listener(null);
    for (const listener of candleListeners) listener(data.value);
    return;
  }
  if (data.case !== "book") return;
  const whole = "symbol" in data.value;
  if (whole) book.replace(levels(data.value.bids), levels(data.value.asks));
  else book.change(data.value.bids, data.value.asks);
  if (!book.equals(data.value.checksum)) {
    // Not the server's book: it is not shown any further, and begins anew.
    book.doubt();
    const shown = symbol.peek();
    want(environment.peek(), []);
    show(shown);
  }
  bookVersion.value++;
});

/** The change over 24 hours in hundredths of a percent, and what it is of. */
export function changeOf(one: Ticker | undefined): number | null {
  if (!one?.lastPrice || !one.openPrice) return null;
  const open = amount(one.openPrice);
  return open === 0n ? null : Number(((amount(one.lastPrice) - open) * 1_000_000n) / open) / 10_000;
}
