// The price chart: history, then live, and the depth of the book.
import { computed, signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { marketLive } from "../stream/feed";
import { market, bookLive, symbol } from "../market";
import { theme } from "../theme";
import { CandleInterval } from "@gen/venue/marketdata/v1/marketdata_pb";
import { drawDepth } from "./depth";
import { Tabs } from "./field";

export const intervals = [
  ["1s", CandleInterval.CANDLE_INTERVAL_1S, 1],
  ["1m", CandleInterval.CANDLE_INTERVAL_1M, 60],
  ["5m", CandleInterval.CANDLE_INTERVAL_5M, 300],
  ["15m", CandleInterval.CANDLE_INTERVAL_15M, 900],
  ["1h", CandleInterval.CANDLE_INTERVAL_1H, 3600],
  ["4h", CandleInterval.CANDLE_INTERVAL_4H, 14400],
  ["1d", CandleInterval.CANDLE_INTERVAL_1D, 86400],
] as const;
const KEY = "venue.interval";
const chosen = signal(localStorage.getItem(KEY) ?? "1m");
export const interval = computed(() => intervals.find(([name]) => name === chosen.value) ?? intervals[1]);

type View = "price" | "depth";

function Candles() {
  const host = useRef<HTMLDivElement>(null);
  const legend = useRef<HTMLParagraphElement>(null);
  const [failed, setFailed] = useState(false);
  const [of, kind, look] = [symbol.value, interval.value, theme.value];
  useEffect(() => {
    if (!of || !market.peek()) return;
    let end: (() => void) | null = null;
    let over = false;
    setFailed(false);
    void import("./candles").then(async ({ draw }) => {
      const ended = await draw(host.current!, legend.current!, of, kind).catch(() => null);
      if (over) return ended?.();
      if (ended) end = ended;
      else setFailed(true);
    });
    return () => {
      over = true;
      end?.();
    };
  }, [of, kind, look, market.value !== undefined, failed && marketLive.value]);
  return (
    <>
      <p class="legend" ref={legend} aria-hidden="true" />
      <div class="candles" ref={host} role="img" aria-label={`Price of ${of}, candles of ${kind[0]}`} />
      {failed && <p class="empty">The history does not come at present; it is asked for again.</p>}
    </>
  );
}

function Depth() {
  const canvas = useRef<HTMLCanvasElement>(null);
  const look = theme.value;
  useEffect(() => drawDepth(canvas.current!), [look]);
  return <canvas ref={canvas} role="img" aria-label={`Depth of ${symbol.value}`} />;
}

export function Chart() {
  const [view, setView] = useState<View>("price");
  const live = view === "price" ? marketLive.value : bookLive.value;
  return (
    <section class={`panel chart live${live ? "" : " stale"}`} aria-label="Chart">
      <header class="panel-head">
        <Tabs label="Chart" value={view} onChange={setView} tabs={[["price", "Price"], ["depth", "Depth"]]} />
        {view === "price" && (
          <div class="intervals" role="group" aria-label="Length of candles">
            {intervals.map(([name]) => (
              <button key={name} type="button" aria-pressed={interval.value[0] === name} onClick={() => {
                chosen.value = name;
                localStorage.setItem(KEY, name);
              }}>{name}</button>
            ))}
          </div>
        )}
      </header>
      <div class="canvas">{view === "price" ? <Candles /> : <Depth />}</div>
    </section>
  );
}
