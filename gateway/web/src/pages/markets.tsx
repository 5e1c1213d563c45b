// All markets at a glance.
import { signal } from "@preact/signals";
import { MarketState, type Market } from "@gen/venue/marketdata/v1/marketdata_pb";
import { amount, digitsOf, fixed, shown } from "../decimal";
import { changeOf, markets, marketsFailed, tickers } from "../market";
import { go } from "../route";
import { isLoggedIn } from "../session";
import { marketLive } from "../stream/feed";
import { stateName } from "../words";

type By = "symbol" | "change" | "volume";
const by = signal<By>("volume");
export const search = signal("");

export function Change({ value }: { value: number | null }) {
  if (value === null) return <span class="dim">–</span>;
  const size = Math.abs(value).toFixed(2);
  // What rounds to nothing went neither way.
  const way = Number(size) === 0 ? 0 : Math.sign(value);
  return <span class={["down", "", "up"][way + 1]}>{["−", "", "+"][way + 1]}{size} %</span>;
}

export const stateBadge = (state: MarketState) => (state === MarketState.OPEN ? <span class="badge good">Open</span> : <span class="badge warn">{stateName(state)}</span>);

function sorted(list: Market[]): Market[] {
  const of = (market: Market) => tickers.value.get(market.symbol);
  const volume = (market: Market) => amount(of(market)?.quoteVolume ?? "");
  const order = {
    symbol: (a: Market, b: Market) => a.symbol.localeCompare(b.symbol),
    change: (a: Market, b: Market) => (changeOf(of(b)) ?? -1e9) - (changeOf(of(a)) ?? -1e9),
    volume: (a: Market, b: Market) => (volume(a) < volume(b) ? 1 : volume(a) > volume(b) ? -1 : a.symbol.localeCompare(b.symbol)),
  }[by.value];
  return [...list].sort(order);
}

export function MarketsPage() {
  const list = sorted(markets.value.filter((one) => one.symbol.toLowerCase().includes(search.value.toLowerCase())));
  const button = (key: By, text: string) => <button type="button" onClick={() => (by.value = key)}>{text}{by.value === key && <span aria-hidden="true"> ↓</span>}</button>;
  const turnover = (market: Market) => {
    const ticker = tickers.value.get(market.symbol);
    return <>{ticker ? fixed(amount(ticker.quoteVolume), 0) : "–"} <small class="dim">{market.quoteAsset}</small></>;
  };
  const head = (key: By, text: string, number = true) => (
    <th class={number ? "n" : ""} aria-sort={by.value === key ? (key === "symbol" ? "ascending" : "descending") : undefined}>
      {button(key, text)}
    </th>
  );
  return (
    <main class="page markets">
      <div class="title">
        <div><h1>Markets</h1><p class="dim">Live prices of every market. No account is needed to look.</p></div>
        <input type="search" aria-label="Search for a market" placeholder="Search  /" value={search.value} onInput={(event) => (search.value = event.currentTarget.value)} />
      </div>
      <section class={`panel live${marketLive.value ? "" : " stale"}`} aria-label="All markets">
        <div class="scroll" tabIndex={0} role="region" aria-label="Markets">
          <table class="big">
            <thead><tr>{head("symbol", "Market", false)}<th class="n">Last price</th>{head("change", "24 h")}<th class="n wide">Bid</th><th class="n wide">Ask</th><th class="n wide">High</th><th class="n wide">Low</th><th class="n wide" aria-sort={by.value === "volume" ? "descending" : undefined}>{button("volume", "Turnover 24 h")}</th><th class="wide">State</th></tr></thead>
            <tbody>
              {list.map((market) => {
                const ticker = tickers.value.get(market.symbol);
                const digits = digitsOf(market.tickSize);
                const price = (text: string | undefined) => shown(text ?? "", digits);
                return (
                  <tr key={market.symbol} class="pressable" onClick={() => go(`trade/${market.symbol}`)}>
                    <td><a class="market-name" href={`#/trade/${market.symbol}`}><b>{market.baseAsset}</b><span>/{market.quoteAsset}</span></a>{market.kind === 2 && <span class="badge">Perp</span>}{market.symbol.split("-").length > 2 && market.kind !== 2 && <span class="badge">{market.symbol.split("-").slice(2).join("-")}</span>}<p class="slim dim">{turnover(market)} in 24 h</p></td>
                    <td class="n last">{price(ticker?.lastPrice)}</td><td class="n"><Change value={changeOf(ticker)} /></td>
                    <td class="n wide">{price(ticker?.bidPrice)}</td><td class="n wide">{price(ticker?.askPrice)}</td><td class="n wide">{price(ticker?.highPrice)}</td><td class="n wide">{price(ticker?.lowPrice)}</td>
                    <td class="n wide">{turnover(market)}</td><td class="wide">{stateBadge(market.state)}</td>
                  </tr>
                );
              })}
              {!list.length && <tr><td colSpan={9} class="empty">{marketsFailed.value ? "The venue does not answer; it is asked again." : markets.value.length ? "No market of that name." : "Asking for the markets …"}</td></tr>}
            </tbody>
          </table>
        </div>
      </section>
      {!isLoggedIn.value && <p class="invite"><b>New here?</b> <a href="#/register">Register</a>, open a demo account with paper funds, and trade within a minute.</p>}
      <footer class="dim">Charts: <a href="https://www.tradingview.com/" rel="noreferrer noopener" target="_blank">TradingView</a> Lightweight Charts™ · API: <a href="/v1/markets">/v1/markets</a></footer>
    </main>
  );
}
