// What keys do while no input has them.
import { OrderType } from "@gen/venue/order/v1/order_pb";
import { Side } from "@gen/venue/type/v1/type_pb";
import { openOrders } from "./account";
import { go, path } from "./route";
import { turn } from "./theme";
import { setKind, setSide, trayOpen } from "./ticket";
import { helpOpen } from "./ui/shell";
import { cancelAll } from "./ui/tables";

const FRAMES = 20;

/** The input may be there only once the page has been drawn anew. */
function focus(selector: string, frames = FRAMES): void {
  requestAnimationFrame(() => {
    const node = document.querySelector<HTMLInputElement>(selector);
    if (!node) return frames > 0 ? focus(selector, frames - 1) : undefined;
    node.focus();
    node.select();
  });
}

function pressed(event: KeyboardEvent): void {
  if (event.key === "Escape") {
    helpOpen.value = trayOpen.value = false;
    (document.activeElement as HTMLElement | null)?.blur();
    return;
  }
  const target = event.target as HTMLElement;
  if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input, select, textarea")) return;
  const trading = path.peek()[0] === "trade";
  const deeds: Record<string, () => void> = {
    "?": () => (helpOpen.value = !helpOpen.peek()),
    t: turn,
    "/": () => {
      if (trading) go("markets");
      focus('input[type="search"]');
    },
  };
  if (trading)
    Object.assign(deeds, {
      b: () => (setSide(Side.BUY), focus('input[name="size"]')),
      s: () => (setSide(Side.SELL), focus('input[name="size"]')),
      l: () => (setKind(OrderType.LIMIT), focus('input[name="price"]')),
      m: () => (setKind(OrderType.MARKET), focus('input[name="size"]')),
      p: () => focus('input[name="price"]'),
      x: () => {
        const count = openOrders.peek().size;
        if (count && confirm(`Cancel ${count === 1 ? "the open order" : `all ${count} open orders`}?`)) void cancelAll();
      },
    });
  const deed = deeds[event.key.toLowerCase()];
  if (!deed) return;
  event.preventDefault();
  deed();
}

export function listenToKeys(): void {
  addEventListener("keydown", pressed);
}
