// A book as the stream tells it, checked against the server's checksum.
import type { BookLevel } from "@gen/venue/marketdata/v1/marketdata_pb";
import { amount, floorTo } from "./decimal";

export interface Level {
  price: bigint;
  size: bigint;
  text: string;
  sizeText: string;
  count: number;
}

/** A row of the ladder: a level, or several of one step. */
export interface Row {
  price: bigint;
  size: bigint;
  total: bigint;
}

const CHECKED = 10;
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value >>> 0;
});

function crc32(text: string): number {
  let value = 0xffffffff;
  for (let at = 0; at < text.length; at++) value = TABLE[(value ^ text.charCodeAt(at)) & 255]! ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

export class Book {
  /** Best first. */
  bids: Level[] = [];
  asks: Level[] = [];
  /** True while it is the server's book as far as the stream has told it. */
  whole = false;

  replace(bids: BookLevel[], asks: BookLevel[]): void {
    this.bids = bids.map(levelOf);
    this.asks = asks.map(levelOf);
    this.whole = true;
  }

  change(bids: BookLevel[], asks: BookLevel[]): void {
    for (const level of bids) put(this.bids, levelOf(level), -1);
    for (const level of asks) put(this.asks, levelOf(level), 1);
  }

  doubt(): void {
    this.whole = false;
  }

  forget(): void {
    this.bids = [];
    this.asks = [];
    this.whole = false;
  }

  equals(checksum: number): boolean {
    const parts: string[] = [];
    for (let at = 0; at < CHECKED; at++)
      for (const level of [this.bids[at], this.asks[at]]) if (level) parts.push(`${level.text}:${level.sizeText}`);
    return crc32(parts.join(":")) === checksum;
  }

  /** At most so many rows of a side, best first, of whole steps, each with what rests up to it. */
  rows(side: "bid" | "ask", step: bigint, count: number): Row[] {
    const rows: Row[] = [];
    let total = 0n;
    for (const level of side === "bid" ? this.bids : this.asks) {
      const down = floorTo(level.price, step);
      const price = side === "ask" && down !== level.price ? down + step : down;
      const last = rows.at(-1);
      total += level.size;
      if (last && last.price === price) {
        last.size += level.size;
        last.total = total;
      } else {
        if (rows.length === count) break;
        rows.push({ price, size: level.size, total });
      }
    }
    return rows;
  }
}

function levelOf(level: BookLevel): Level {
  return { price: amount(level.price), size: amount(level.quantity), text: level.price, sizeText: level.quantity, count: level.orderCount };
}

/** `way` 1: lowest first; -1: highest first. */
function put(levels: Level[], level: Level, way: 1 | -1): void {
  let low = 0;
  let high = levels.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const other = levels[middle]!.price;
    if (way === 1 ? other < level.price : other > level.price) low = middle + 1;
    else high = middle;
  }
  const there = levels[low]?.price === level.price;
  if (level.size === 0n) {
    if (there) levels.splice(low, 1);
  } else levels.splice(low, there ? 1 : 0, level);
}
