// The trading page.
import { signal } from "@preact/signals";
import { Side } from "@gen/venue/type/v1/type_pb";
import { amount, fixed, shown } from "../decimal";
import { changeOf, market, markets, marketsFailed, priceDigits, symbol, ticker } from "../market";
import { go } from "../route";
import { marketLive } from "../stream/feed";
import { setSide, trayOpen } from "../ticket";
import { Chart } from "../ui/chart";
import { Ladder } from "../ui/ladder";
import { Tables } from "../ui/tables";
import { Tape } from "../ui/tape";
import { Ticket } from "../ui/ticket";
import { Change, stateBadge } from "./markets";
import { Tabs } from "../ui/field";

type Part = "chart" | "book" | "trades" | "account";
const part = signal<Part>("chart");

function Bar() {
  const [of, now] = [market.value, ticker.value];
  const price = (text: string | undefined) => shown(text ?? "", priceDigits.value);
  const figure = (label: string, value: preact.ComponentChildren, extra = "") => <div class={extra}><dt>{label}</dt><dd>{value}</dd></div>;
  return (
    <section class={`bar live${marketLive.value ? "" : " stale"}`} aria-label="Market">
      <label class="market-select">
        <span class="unseen">Market</span>
        <select value={symbol.value} onChange={(event) => go(`trade/${event.currentTarget.value}`)}>
          {markets.value.map((one) => <option key={one.symbol} value={one.symbol}>{one.symbol}</option>)}
        </select>
      </label>
      <div class="last" data-testid="last">{price(now?.lastPrice)}</div>
      <dl>
        {figure("24 h", <Change value={changeOf(now)} />)}
        {now?.markPrice && figure("Mark", price(now.markPrice), "wide")}
        {now?.indexPrice && figure("Index", price(now.indexPrice), "wide")}
        {figure("High", price(now?.highPrice), "wide tight")}
        {figure("Low", price(now?.lowPrice), "wide tight")}
        {figure("Turnover", now ? `${fixed(amount(now.quoteVolume), 0)} ${of?.quoteAsset ?? ""}` : "–", "wide")}
        {of && figure("State", stateBadge(of.state))}
      </dl>
    </section>
  );
}

export function TradePage() {
  if (markets.value.length && !market.value)
    return <main class="page"><p class="empty">There is no market {symbol.value}. <a href="#/markets">All markets</a></p></main>;
  const open = (side: Side) => {
    setSide(side);
    trayOpen.value = true;
  };
  return (
    <main class="trade" data-part={part.value}>
      <h1 class="unseen">Trade {symbol.value}</h1>
      <Bar />
      {marketsFailed.value && <p class="warning wide-note" role="status">The venue does not answer; it is asked again.</p>}
      <div class="parts"><Tabs label="Parts of the page" value={part.value} onChange={(next) => (part.value = next)} tabs={[["chart", "Chart"], ["book", "Book"], ["trades", "Trades"], ["account", "Orders"]]} /></div>
      <Chart />
      <Ladder />
      <Tape />
      {trayOpen.value && <div class="tray-back" aria-hidden="true" onClick={() => (trayOpen.value = false)} />}
      <div class={trayOpen.value ? "tray open" : "tray"}>
        <button type="button" class="tray-close" aria-label="Close the order form" onClick={() => (trayOpen.value = false)}><i aria-hidden="true" /></button>
        <Ticket />
      </div>
      <Tables />
      <div class="deal">
        <button type="button" class="button buy" onClick={() => open(Side.BUY)}>Buy</button>
        <button type="button" class="button sell" onClick={() => open(Side.SELL)}>Sell</button>
      </div>
    </main>
  );
}
