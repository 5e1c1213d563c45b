// The order form's values, what they come to, and its preview.
import { Code } from "@connectrpc/connect";
import { computed, effect, signal } from "@preact/signals";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { OrderType, TimeInForce, TriggerSource, type Order } from "@gen/venue/order/v1/order_pb";
import { PlaceOrderRequestSchema, type PlaceOrderRequest, type PreviewOrderResponse } from "@gen/venue/order/v1/order_service_pb";
import { Side } from "@gen/venue/type/v1/type_pb";
import { accountId, account, balances, chosen, openOrders } from "./account";
import { failure, orders, requestId, surely, type Failure } from "./api";
import { book, bookVersion, market, picked, symbol, ticker } from "./market";
import { accountLive } from "./stream/feed";
import { amount, floorTo, ONE, over, parse, plain, times } from "./decimal";
import { toast } from "./toasts";
import { rejection } from "./words";

/** What the form places: a type of the contract, or two orders of which one cancels the other. */
export type Kind = OrderType | "oco";
export const KINDS: readonly (readonly [Kind, string])[] = [
  [OrderType.LIMIT, "Limit"],
  [OrderType.MARKET, "Market"],
  [OrderType.STOP, "Stop"],
  [OrderType.STOP_LIMIT, "Stop limit"],
  [OrderType.TAKE_PROFIT, "Take profit"],
  [OrderType.TAKE_PROFIT_LIMIT, "Take profit limit"],
  [OrderType.TRAILING_STOP, "Trailing stop"],
  ["oco", "OCO (limit + stop)"],
];

const PREVIEW_MS = 180;

export const kind = signal<Kind>(OrderType.LIMIT);
export const side = signal<Side>(Side.BUY);
export const price = signal("");
export const stopPrice = signal("");
export const size = signal("");
/** Of a market order: the size is an amount of the quote asset. */
export const byAmount = signal(false);
export const trail = signal("");
export const trailPercent = signal(true);
export const trigger = signal<TriggerSource>(TriggerSource.LAST);
export const force = signal<TimeInForce>(TimeInForce.GTC);
export const expires = signal("");
export const postOnly = signal(false);
export const reduceOnly = signal(false);
export const iceberg = signal(false);
export const display = signal("");
export const bracket = signal(false);
export const takeProfit = signal("");
export const stopLoss = signal("");

export const wrong = signal<Failure | null>(null);
export const preview = signal<PreviewOrderResponse | null>(null);
export const previewing = signal(false);
export const placing = signal(false);
/** The phone's tray. */
export const trayOpen = signal(false);

export const priced = computed(() => kind.value === "oco" || [OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT].includes(kind.value));
export const stopped = computed(() => kind.value === "oco" || [OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT].includes(kind.value));
export const trailing = computed(() => kind.value === OrderType.TRAILING_STOP);
export const triggered = computed(() => stopped.value || trailing.value);
export const mayRest = computed(() => [TimeInForce.GTC, TimeInForce.GTD, TimeInForce.DAY].includes(force.value));
export const mayBracket = computed(() => kind.value !== "oco" && [OrderType.MARKET, OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT].includes(kind.value) && !quoted.value);
export const quoted = computed(() => kind.value === OrderType.MARKET && byAmount.value);
export const forces = computed(() =>
  kind.value === OrderType.MARKET
    ? [TimeInForce.IOC, TimeInForce.FOK]
    : kind.value === "oco"
      ? [TimeInForce.GTC, TimeInForce.DAY, TimeInForce.GTD]
      : [TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK, TimeInForce.DAY, TimeInForce.GTD],
);

// What was chosen for orders that may rest: a market order takes another one for itself alone.
let forceKept = force.peek();

export function setKind(next: Kind): void {
  if (kind.peek() !== OrderType.MARKET) forceKept = force.peek();
  kind.value = next;
  if (next !== OrderType.MARKET) force.value = forceKept;
  if (!forces.value.includes(force.value)) force.value = forces.value[0]!;
  if (priced.value && !price.value) price.value = prefilled();
}

/** The best price of one's own side, where an order would join the queue. */
function prefilled(): string {
  const best = (side.peek() === Side.BUY ? book.bids : book.asks)[0] ?? (side.peek() === Side.BUY ? book.asks : book.bids)[0];
  return best ? plain(best.price) : (ticker.peek()?.lastPrice ?? "");
}

let touched = false;
export function setPrice(next: string): void {
  touched = true;
  price.value = next;
}

export function setSide(next: Side): void {
  if (side.peek() !== next && !touched) {
    side.value = next;
    price.value = prefilled();
  } else side.value = next;
}

/** The request that the form stands for, its exits and the second order of a pair included. */
export function request(): PlaceOrderRequest {
  const type = kind.value === "oco" ? OrderType.LIMIT : kind.value;
  const limit = priced.value ? price.value.trim() : "";
  const until = force.value === TimeInForce.GTD && expires.value ? Date.parse(expires.value) : NaN;
  const init: MessageInitShape<typeof PlaceOrderRequestSchema> = {
    accountId: accountId.value,
    symbol: symbol.value,
    side: side.value,
    type,
    timeInForce: force.value,
    price: limit,
    stopPrice: stopped.value && kind.value !== "oco" ? stopPrice.value.trim() : "",
    postOnly: postOnly.value && priced.value && mayRest.value,
    reduceOnly: reduceOnly.value && !quoted.value,
    displayQuantity: iceberg.value && priced.value && mayRest.value && kind.value !== "oco" ? display.value.trim() : "",
    triggerSource: triggered.value && kind.value !== "oco" ? trigger.value : TriggerSource.UNSPECIFIED,
  };
  if (quoted.value) init.quoteAmount = size.value.trim();
  else init.quantity = size.value.trim();
  if (trailing.value) init[trailPercent.value ? "trailingPercent" : "trailingAmount"] = trail.value.trim();
  if (!Number.isNaN(until)) init.expireTime = timestampFromMs(until);
  if (bracket.value && mayBracket.value) {
    if (takeProfit.value) init.takeProfit = { stopPrice: takeProfit.value.trim() };
    if (stopLoss.value) init.stopLoss = { stopPrice: stopLoss.value.trim() };
  }
  return create(PlaceOrderRequestSchema, init);
}

const spoken = (value: unknown): string => JSON.stringify(value, (_, one: unknown) => (typeof one === "bigint" ? String(one) : one));

function second(first: PlaceOrderRequest): PlaceOrderRequest {
  return create(PlaceOrderRequestSchema, {
    ...first, type: OrderType.STOP, price: "", postOnly: false, stopPrice: stopPrice.value.trim(), triggerSource: trigger.value,
  });
}

/** True once there is enough to ask for a preview. */
const complete = computed(
  () =>
    accountId.value !== "" && account.value !== undefined && parse(size.value) !== null &&
    (!priced.value || parse(price.value) !== null) && (!stopped.value || parse(stopPrice.value) !== null) &&
    (!trailing.value || trail.value !== "") && (force.value !== TimeInForce.GTD || expires.value !== ""),
);

/** What an order of the whole available funds would be, a part of it in percent; in whole lots. */
export function share(percent: bigint): void {
  const of = market.value;
  if (!of) return;
  const lot = parse(of.lotSize) ?? 1n;
  const spent = side.value === Side.BUY ? of.quoteAsset : of.baseAsset;
  const free = (amount(balances.value.get(spent)?.available ?? "") * percent) / 100n;
  if (side.value === Side.SELL) {
    const last = amount(ticker.value?.lastPrice ?? "");
    size.value = plain(quoted.value ? floorTo(times(free, last), 10n ** 16n) : floorTo(free, lot));
    return;
  }
  if (quoted.value) return void (size.value = plain(floorTo(free, 10n ** 16n)));
  const at = priced.value ? parse(price.value) : stopped.value ? parse(stopPrice.value) : (book.asks[0]?.price ?? amount(ticker.value?.lastPrice ?? ""));
  if (!at) return;
  const fee = amount(of.takerFeeRate);
  size.value = plain(floorTo(over(free, times(at, ONE + (fee > 0n ? fee : 0n))), lot));
}

let asked = 0;

async function ask(): Promise<void> {
  const now = ++asked;
  previewing.value = true;
  try {
    const answer = await orders.previewOrder({ order: request() });
    if (now !== asked) return;
    preview.value = answer;
    wrong.value = null;
  } catch (error) {
    if (now !== asked) return;
    preview.value = null;
    wrong.value = failure(error);
  } finally {
    if (now === asked) previewing.value = false;
  }
}

/** A placement that nobody answered: pressed again as it is, it is the same one. Until the account's orders are told anew. */
let unanswered: { id: string; said: string } | null = null;
const NO_ANSWER = "No answer came. It may have been placed all the same: look at your orders.";

/** What is left empty. The server would say so in the contract's words, which the form does not have. */
function missing(): Record<string, string> {
  const fields: Record<string, string> = {};
  if (!size.value.trim()) fields[quoted.value ? "quoteAmount" : "quantity"] = "How much?";
  if (priced.value && !price.value.trim()) fields.price = "At which price?";
  if (stopped.value && !stopPrice.value.trim()) fields.stopPrice = "From which price on?";
  if (trailing.value && !trail.value.trim()) fields[trailPercent.value ? "trailingPercent" : "trailingAmount"] = "How far behind?";
  return fields;
}

/** Places what the form says, once, however the network is. */
export async function place(): Promise<void> {
  if (placing.peek()) return;
  const fields = missing();
  if (Object.keys(fields).length) return void (wrong.value = { message: "", reason: "", fields, metadata: {}, code: Code.InvalidArgument, unanswered: false });
  placing.value = true;
  const order = request();
  const said = spoken([kind.value, order, stopPrice.value, trigger.value]);
  const id = unanswered?.said === said ? unanswered.id : requestId();
  unanswered = null;
  try {
    if (kind.value === "oco") {
      const answer = await surely(() => orders.placeOco({ orders: [order, second(order)], requestId: id }));
      const [refused] = answer.orders.filter((one) => one.rejectReason);
      if (refused && !answer.listId) toast("bad", "Rejected", rejection(refused.rejectReason));
      else sent();
    } else {
      order.requestId = id;
      const { order: placed } = await surely(() => orders.placeOrder(order));
      // The stream tells the rest, a rejection too.
      if (!placed?.rejectReason) sent();
    }
    wrong.value = null;
  } catch (error) {
    const told = failure(error);
    if (told.unanswered) {
      unanswered = { id, said };
      told.message = NO_ANSWER;
    }
    wrong.value = told;
    if (Object.keys(told.fields).length === 0) toast("bad", told.unanswered ? "No answer" : "Not placed", told.message);
  } finally {
    placing.value = false;
  }
}

function sent(): void {
  size.value = "";
  preview.value = null;
  trayOpen.value = false;
}

/** Takes the values of an order: to place one like it, or to see what it is. */
function fill(order: Order): void {
  touched = true;
  kind.value = order.type;
  side.value = order.side;
  price.value = order.price;
  stopPrice.value = order.stopPrice;
  size.value = order.remainingQuantity || order.quantity;
  byAmount.value = false;
  force.value = order.timeInForce;
  postOnly.value = order.postOnly;
  reduceOnly.value = order.reduceOnly;
  iceberg.value = order.displayQuantity !== "";
  display.value = order.displayQuantity;
  trail.value = order.trailingPercent || order.trailingAmount;
  trailPercent.value = order.trailingAmount === "";
  if (order.triggerSource) trigger.value = order.triggerSource;
  // The exits of an entry are not told with it, and those in the form were another order's.
  bracket.value = false;
  takeProfit.value = stopLoss.value = "";
}

export function begin(): void {
  let shown = "";
  effect(() => {
    void [bookVersion.value, ticker.value];
    if (symbol.value === shown && (touched || price.peek())) return;
    if (symbol.value !== shown) {
      shown = symbol.value;
      touched = false;
      price.value = stopPrice.value = size.value = takeProfit.value = stopLoss.value = display.value = "";
      preview.value = null;
      wrong.value = null;
    }
    if (!price.peek() && book.bids.length + book.asks.length) price.value = prefilled();
  });
  effect(() => {
    const row = picked.value;
    if (!row) return;
    // Who presses what others ask buys it.
    side.value = row.side === "ask" ? Side.BUY : Side.SELL;
    if (stopped.peek() && !priced.peek()) stopPrice.value = row.price;
    else setPrice(row.price);
    size.value = row.size;
    byAmount.value = false;
    picked.value = null;
  });
  effect(() => {
    const order = chosen.value;
    if (!order) return;
    fill(order);
    chosen.value = null;
  });
  effect(() => {
    void openOrders.value;
    unanswered = null;
  });
  let timer: ReturnType<typeof setTimeout> | undefined;
  effect(() => {
    clearTimeout(timer);
    const ready = complete.value;
    void [spoken(request()), openOrders.value, balances.value];
    // Who does not answer is not asked; what was said last stays until he does.
    if (!ready || !accountLive.value) {
      asked++;
      preview.value = null;
      previewing.value = false;
      if (!ready && wrong.peek()) wrong.value = null;
      return;
    }
    timer = setTimeout(() => void ask(), PREVIEW_MS);
  });
}
