// The terminal: one page, whose parts are told apart by what follows # in the address.
import { effect } from "@preact/signals";
import { render } from "preact";
import { lazy } from "./lazy";
import { follow } from "./account";
import { listenToKeys } from "./keys";
import { loadMarkets, markets, show, symbol } from "./market";
import { MarketsPage } from "./pages/markets";
import { TradePage } from "./pages/trade";
import { go, path } from "./route";
import { start } from "./stream/feed";
import { begin } from "./ticket";
import { Shell } from "./ui/shell";
import "./style.css";

const Portal = lazy(() => import("./pages/portal").then((found) => found.Portal));
const Settings = lazy(() => import("./pages/settings").then((found) => found.Settings));
const FIRST = ["ETH-USD", "BTC-USD"];
const KEY = "venue.market";

function Page() {
  const [at] = path.value;
  if (at === "" || at === "markets") return <MarketsPage />;
  if (at === "trade") return <TradePage />;
  if (at === "settings") return <Settings />;
  return <Portal />;
}

effect(() => {
  const [at, of] = path.value;
  const known = markets.value;
  document.title = at === "trade" && of ? `${of} · venue` : "venue";
  if (at === "trade" && !of && known.length) {
    const before = localStorage.getItem(KEY);
    const first = [before, ...FIRST].find((one) => known.some((market) => market.symbol === one)) ?? known[0]!.symbol;
    return go(`trade/${first}`);
  }
  if (at === "trade" && of) {
    if (known.some((market) => market.symbol === of)) localStorage.setItem(KEY, of);
    show(of);
  } else show("");
});

// A client's sign-on begins at an address without #, as OAuth has it.
if (location.pathname === "/authorize") {
  history.replaceState(null, "", `/#/authorize${location.search}`);
  dispatchEvent(new HashChangeEvent("hashchange"));
}
void symbol;
begin();
follow();
listenToKeys();
render(<Shell><Page /></Shell>, document.getElementById("app")!);
void loadMarkets();
void start();
