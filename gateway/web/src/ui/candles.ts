// Candles and volume with TradingView's lightweight-charts. History is asked for once; then candles of a minute come from the stream
// and make up those of the chosen length, and whatever was missed is asked for again.
import { timestampFromDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { CandlestickSeries, ColorType, createChart, CrosshairMode, HistogramSeries, TickMarkType, type Time, type UTCTimestamp } from "lightweight-charts";
import type { Candle, CandleInterval } from "@gen/venue/marketdata/v1/marketdata_pb";
import { marketData } from "../api";
import { amount, approximate, fixed } from "../decimal";
import { environment, onCandle, onTrades, priceDigits, sizeDigits } from "../market";
import { colour } from "../theme";
import { clock, day, millis } from "../words";

const HISTORY = 500;
// Pixels from candle to candle: wider where there are few of them.
const NARROW_PX = 6;
const WIDE_PX = 22;
const DAY_S = 86_400;
const AGAIN_MS = 300;

interface Bar {
  time: UTCTimestamp;
  open: number;
  high: number;
  low: number;
  close: number;
  volume: number;
}

function barOf(candle: Candle): Bar {
  const number = (text: string) => approximate(amount(text));
  const time = Number(candle.openTime!.seconds) as UTCTimestamp;
  return { time, open: number(candle.open), high: number(candle.high), low: number(candle.low), close: number(candle.close), volume: number(candle.volume) };
}

async function history(symbol: string, interval: CandleInterval, count: number): Promise<Bar[]> {
  const listed = await marketData.listCandles({ symbol, environment: environment.peek(), interval, pageSize: count, fillGaps: true });
  return listed.candles.map(barOf).reverse();
}

/** A mark of the time axis in the reader's own time, as everything else on the page; candles of days are days of UTC. */
function mark(seconds: number): (time: Time, type: TickMarkType) => string | null {
  return (time, type) => {
    if (seconds >= DAY_S || type < TickMarkType.DayOfMonth) return null;
    const at = new Date((time as number) * 1000);
    if (at.getHours() + at.getMinutes() === 0) return at.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
    const text = clock(timestampFromDate(at));
    return type === TickMarkType.TimeWithSeconds ? text : text.slice(0, 5);
  };
}

/** Draws until the function that it returns is called. Throws where the history does not come. */
export async function draw(
  host: HTMLElement,
  legend: HTMLElement,
  symbol: string,
  [, interval, seconds]: readonly [string, CandleInterval, number],
): Promise<() => void> {
  const bars = await history(symbol, interval, HISTORY);
  const [up, down, text, line, panel] = ["up", "down", "dim", "line", "panel"].map(colour) as [string, string, string, string, string];
  host.replaceChildren();
  const chart = createChart(host, {
    autoSize: true,
    layout: { background: { type: ColorType.Solid, color: panel }, textColor: text, fontFamily: "Inter Variable, sans-serif", fontSize: 11, attributionLogo: false },
    grid: { vertLines: { color: line }, horzLines: { color: line } },
    crosshair: { mode: CrosshairMode.Normal },
    rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.08, bottom: 0.22 } },
    timeScale: {
      borderVisible: false, timeVisible: true, secondsVisible: seconds < 60, rightOffset: 4, tickMarkFormatter: mark(seconds),
      barSpacing: Math.max(NARROW_PX, Math.min(WIDE_PX, host.clientWidth / (bars.length + 20))),
    },
    localization: { timeFormatter: (time: number) => day(timestampFromMs(time * 1000)) },
  });
  const digits = priceDigits.peek();
  const price = new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }).format;
  const candles = chart.addSeries(CandlestickSeries, {
    upColor: up, downColor: down, wickUpColor: up, wickDownColor: down, borderVisible: false,
    priceFormat: { type: "custom", formatter: (value: number) => price(value), minMove: 10 ** -digits },
  });
  const volume = chart.addSeries(HistogramSeries, { priceScaleId: "volume", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false });
  chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.84, bottom: 0 } });
  const tint = (bar: Bar) => `${bar.close >= bar.open ? up : down}66`;
  const column = (bar: Bar) => ({ time: bar.time, value: bar.volume, color: tint(bar) });

  let current: Bar | undefined;
  const set = (all: Bar[]): void => {
    candles.setData(all);
    volume.setData(all.map(column));
    current = all.at(-1);
    say(current);
  };
  const say = (bar: Bar | undefined): void => {
    if (!bar) return void (legend.textContent = "no trade yet");
    const figures = { O: price(bar.open), H: price(bar.high), L: price(bar.low), C: price(bar.close), V: bar.volume.toFixed(Math.min(4, sizeDigits.peek())) };
    // Where it takes two lines, a name and its figure stay together.
    legend.textContent = Object.entries(figures).map(([name, figure]) => `${name}\u00a0${figure}`).join("  ");
    legend.dataset.way = bar.close >= bar.open ? "up" : "down";
  };
  const put = (bar: Bar): void => {
    if (current && bar.time < current.time) return;
    current = bar;
    candles.update(bar);
    volume.update(column(bar));
    say(bar);
  };

  set(bars);
  let asked: ReturnType<typeof setTimeout> | undefined;
  /** What the stream cannot have told: after a break, and when a candle that is made of several closes. */
  const again = (): void => {
    clearTimeout(asked);
    asked = setTimeout(async () => {
      const fresh = await history(symbol, interval, HISTORY).catch(() => null);
      if (fresh) set(fresh);
    }, AGAIN_MS);
  };
  const bucket = (time: number): UTCTimestamp => (Math.floor(time / seconds) * seconds) as UTCTimestamp;
  // How much of the running minute is in the candle already.
  let minute = 0;
  let counted = 0;
  const ends = [
    onCandle((candle) => {
      if (!candle) return again();
      // A market that never traded has none.
      if (!candle.openTime) return;
      if (seconds < 60) return;
      const bar = barOf(candle);
      if (seconds === 60) return put(bar);
      const fresh = bar.time === minute ? bar.volume - counted : minute === 0 ? 0 : bar.volume;
      [minute, counted] = [bar.time, bar.volume];
      const time = bucket(bar.time);
      const base = current && current.time === time ? current : { ...bar, time, volume: 0 };
      put({ ...base, high: Math.max(base.high, bar.high), low: Math.min(base.low, bar.low), close: bar.close, volume: base.volume + fresh });
      if (candle.isClosed) again();
    }),
    onTrades((list) => {
      if (seconds >= 60) return;
      for (const trade of list) {
        const price = approximate(amount(trade.price));
        const time = bucket(millis(trade.tradeTime) / 1000);
        if (current && time < current.time) continue;
        const same = current && current.time === time;
        const base = same ? current! : { time, open: price, high: price, low: price, close: price, volume: 0 };
        put({ ...base, high: Math.max(base.high, price), low: Math.min(base.low, price), close: price, volume: base.volume + approximate(amount(trade.quantity)) });
      }
    }),
  ];
  chart.subscribeCrosshairMove((at) => {
    const bar = at.seriesData.get(candles) as Bar | undefined;
    const column = at.seriesData.get(volume) as { value: number } | undefined;
    say(bar ? { ...bar, volume: column?.value ?? 0 } : current);
  });
  host.dataset.bars = fixed(BigInt(bars.length) * 10n ** 18n, 0);
  return () => {
    clearTimeout(asked);
    for (const end of ends) end();
    chart.remove();
  };
}
