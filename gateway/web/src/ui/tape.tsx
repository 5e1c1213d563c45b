// Trades as they happen.
import { useEffect, useRef } from "preact/hooks";
import { amount, fixed } from "../decimal";
import { eachFrame } from "../frames";
import { market, marketsFailed, priceDigits, sizeDigits, trades } from "../market";
import { marketLive } from "../stream/feed";
import { Side } from "@gen/venue/type/v1/type_pb";
import { clock } from "../words";

const SHOWN = 60;

export function Tape() {
  const body = useRef<HTMLOListElement>(null);
  useEffect(() => {
    const rows: HTMLLIElement[] = [];
    return eachFrame(
      () => void [trades.value, market.value],
      () => {
        const host = body.current;
        // What ends this runs after the frame in which the page has gone.
        if (!host) return;
        const list = trades.value.slice(0, SHOWN);
        while (rows.length < list.length) {
          const row = document.createElement("li");
          row.append(...[0, 1, 2].map(() => document.createElement("span")));
          rows.push(row);
          host.append(row);
        }
        while (rows.length > list.length) rows.pop()!.remove();
        // What is known moves down: the last rows become the new ones' at the top, and only they are written.
        const fresh = list.findIndex((trade) => trade.tradeId === rows[0]?.dataset.id);
        const moved = fresh > 0 ? rows.splice(rows.length - fresh) : [];
        host.prepend(...moved);
        rows.unshift(...moved);
        list.forEach((trade, at) => {
          const row = rows[at]!;
          if (row.dataset.id === trade.tradeId) return;
          row.dataset.id = trade.tradeId;
          const bought = trade.takerSide === Side.BUY;
          row.className = bought ? "up" : "down";
          const [price, size, time] = row.children as unknown as HTMLElement[];
          price!.textContent = `${fixed(amount(trade.price), priceDigits.value)}`;
          size!.textContent = fixed(amount(trade.quantity), sizeDigits.value);
          time!.textContent = clock(trade.tradeTime);
        });
      },
    );
  }, []);
  const stale = !marketLive.value || marketsFailed.value;
  return (
    <section class={`panel tape live${stale ? " stale" : ""}`} aria-label="Trades">
      <header class="panel-head"><h2>Trades</h2></header>
      <div class="level-head" aria-hidden="true"><span>Price</span><span>Size {market.value?.baseAsset}</span><span>Time</span></div>
      <ol ref={body} tabIndex={0} aria-label="Trades, newest first" />
    </section>
  );
}
