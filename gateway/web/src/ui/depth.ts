// What rests up to each price, either side of the middle.
import { approximate, fixed } from "../decimal";
import { eachFrame } from "../frames";
import { book, bookLive, bookVersion, priceDigits } from "../market";
import type { Level } from "../book";
import { colour } from "../theme";

const LEVELS = 200;
const FOOT = 22;

/** Draws the depth each time the book changes. Returns what ends it. */
export function drawDepth(canvas: HTMLCanvasElement): () => void {
  const paint = canvas.getContext("2d")!;
  const [up, down, dim, line] = ["up", "down", "dim", "line"].map(colour) as [string, string, string, string];
  const sums = (levels: Level[]): [number, number][] => {
    let total = 0;
    return levels.slice(0, LEVELS).map((level) => [approximate(level.price), (total += approximate(level.size))]);
  };
  const draw = (): void => {
    const [width, height, ratio] = [canvas.clientWidth, canvas.clientHeight, devicePixelRatio];
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    paint.setTransform(ratio, 0, 0, ratio, 0, 0);
    paint.font = "11px Inter Variable, sans-serif";
    paint.fillStyle = dim;
    const [bids, asks] = [sums(book.bids), sums(book.asks)];
    if (!bids.length || !asks.length) return void paint.fillText("one side of the book is empty", 16, 24);
    const middle = (bids[0]![0] + asks[0]![0]) / 2;
    const reach = Math.max(middle - bids.at(-1)![0], asks.at(-1)![0] - middle) || middle * 0.001;
    const most = Math.max(bids.at(-1)![1], asks.at(-1)![1]) * 1.1;
    const x = (price: number) => ((price - middle) / reach / 2 + 0.5) * width;
    const y = (size: number) => (height - FOOT) * (1 - size / most);
    paint.strokeStyle = line;
    for (let at = 1; at < 4; at++) {
      const level = (most * at) / 4;
      paint.beginPath();
      paint.moveTo(0, y(level));
      paint.lineTo(width, y(level));
      paint.stroke();
      paint.fillText(level.toPrecision(3), 6, y(level) - 4);
    }
    for (const [side, tint, edge] of [[bids, up, 0], [asks, down, width]] as const) {
      paint.beginPath();
      paint.moveTo(x(side[0]![0]), height - FOOT);
      let before = 0;
      for (const [price, total] of side) {
        paint.lineTo(x(price), y(before));
        paint.lineTo(x(price), y(total));
        before = total;
      }
      paint.lineTo(edge, y(before));
      paint.strokeStyle = tint;
      paint.lineWidth = 1.5;
      paint.stroke();
      paint.lineTo(edge, height - FOOT);
      paint.closePath();
      paint.globalAlpha = 0.16;
      paint.fillStyle = tint;
      paint.fill();
      paint.globalAlpha = 1;
      paint.lineWidth = 1;
    }
    paint.fillStyle = dim;
    for (const part of [0.1, 0.3, 0.5, 0.7, 0.9]) {
      const price = middle + (part - 0.5) * 2 * reach;
      const text = fixed(BigInt(Math.round(price * 1e6)) * 10n ** 12n, priceDigits.value);
      paint.fillText(text, part * width - paint.measureText(text).width / 2, height - 7);
    }
  };
  const sized = new ResizeObserver(draw);
  sized.observe(canvas);
  const end = eachFrame(() => void [bookVersion.value, bookLive.value], draw);
  return () => {
    end();
    sized.disconnect();
  };
}
