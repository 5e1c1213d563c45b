// Rebuilds books and trades from a market data stream, and checks every step. Pure: it takes messages and waits for nothing.
import type { BookLevel, Candle, Market, SubscribeResponse, Ticker, Trade } from "./gen/venue/marketdata/v1/marketdata_pb.js";
import { scaled } from "./decimal.js";

// So many levels of each side are in a checksum.
const CHECKED = 10;
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? (byte >>> 1) ^ 0xedb88320 : byte >>> 1;
  return byte;
});

function crc32(text: string): number {
  let value = -1;
  for (let at = 0; at < text.length; at++) value = TABLE[(value ^ text.charCodeAt(at)) & 255]! ^ (value >>> 8);
  return ~value >>> 0;
}

/** Something was missed without a word, or a checksum is wrong: forget the state, and open a stream without a position. */
export class StreamBroken extends Error {
  override readonly name = "StreamBroken";
}

/** What a message did to a market: on which channel, and the trades that are new. */
export interface Change { symbol: string; channel: string; trades: Trade[] }

export class Book {
  readonly #sides = { bids: new Map<string, [bigint, BookLevel]>(), asks: new Map<string, [bigint, BookLevel]>() };
  constructor(public sequence = 0n) {}

  /** Best first. */
  get bids(): BookLevel[] {
    return [...this.#sides.bids.values()].sort(([a], [b]) => (a < b ? 1 : -1)).map(([, level]) => level);
  }
  get asks(): BookLevel[] {
    return [...this.#sides.asks.values()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, level]) => level);
  }

  /** Levels as they are now; quantity 0 means that there is none any more. */
  apply(bids: BookLevel[], asks: BookLevel[]): void {
    for (const [side, levels] of [[this.#sides.bids, bids], [this.#sides.asks, asks]] as const)
      for (const level of levels)
        if (level.quantity === "0") side.delete(level.price);
        else side.set(level.price, [scaled(level.price), level]);
  }

  /** CRC32 over the ten best levels, a bid and an ask in turns, each `price:quantity`, joined by `:`. */
  checksum(): number {
    const [bids, asks] = [this.bids, this.asks];
    const texts: string[] = [];
    for (let at = 0; at < CHECKED; at++)
      for (const level of [bids[at], asks[at]]) if (level) texts.push(`${level.price}:${level.quantity}`);
    return crc32(texts.join(":"));
  }
}

export class MarketState {
  readonly books = new Map<string, Book>();
  readonly tickers = new Map<string, Ticker>();
  readonly candles = new Map<string, Candle>();
  readonly markets = new Map<string, Market>();
  /** Everything up to here is known: the next stream's resumeAfter. */
  position = "";
  /** How often the server could not replay what was between: trades may be missing there. */
  gaps = 0;
  readonly #last = new Map<string, bigint>();

  constructor(readonly depth = 100) {}

  /** Apply a message; the changes it made. Throws StreamBroken. */
  take(message: SubscribeResponse): Change[] {
    const changes: Change[] = [];
    for (const frame of message.frames.length ? message.frames : [message]) {
      const { case: kind, value } = frame.frame;
      if (kind === "snapshot" || kind === "event") changes.push(this.#told(frame, kind === "snapshot"));
      else if (kind === "gap") this.gaps++;
      else if (kind === "goodbye") this.position = value.resumeAfter || this.position;
      this.position = frame.position || this.position;
    }
    return changes;
  }

  #told(frame: SubscribeResponse, anew: boolean): Change {
    const said = frame.frame.value as Extract<SubscribeResponse["frame"], { case: "snapshot" | "event" }>["value"];
    const { symbol, data } = said;
    const channel = data.case ?? "";
    const key = `${symbol} ${channel}`;
    const known = this.#last.get(key) ?? (anew ? 0n : frame.previousSequence);
    const repeated = !anew && channel === "trades" && frame.previousSequence < known;
    if (!anew && frame.previousSequence !== known && !repeated)
      throw new StreamBroken(`${key}: ${known} is known, ${frame.previousSequence} comes before this`);
    this.#last.set(key, !anew && frame.sequence < known ? known : frame.sequence);
    let trades: Trade[] = [];
    if (data.case === "book") {
      const book = anew ? new Book() : this.books.get(symbol);
      if (!book) throw new StreamBroken(`${symbol}: a change of a book that is not known`);
      this.books.set(symbol, book);
      book.apply(data.value.bids, data.value.asks);
      book.sequence = frame.sequence;
      // A checksum is of ten levels: who has fewer cannot compare.
      if ((!this.depth || this.depth >= CHECKED) && book.checksum() !== data.value.checksum)
        throw new StreamBroken(`${symbol}: the book's checksum at ${frame.sequence} is not the venue's`);
    } else if (data.case === "trades") trades = data.value.trades.filter((one) => !(anew || repeated) || one.sequence > known);
    else if (data.case === "ticker") this.tickers.set(symbol, data.value);
    else if (data.case === "candle") this.candles.set(symbol, data.value);
    else if (data.case === "market") this.markets.set(symbol, data.value);
    return { symbol, channel, trades };
  }
}
