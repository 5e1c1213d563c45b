// The account that trades: its orders, fills, balances and positions, as the streams tell them.
import { computed, effect, signal } from "@preact/signals";
import { AccountType, type Account, type Balance, type Position } from "@gen/venue/account/v1/account_pb";
import { OrderStatus, OrderType, type Fill, type Order } from "@gen/venue/order/v1/order_pb";
import type { OrderUpdate } from "@gen/venue/order/v1/order_pb";
import { accounts, failure, orders, requestId, surely } from "./api";
import { renew, session } from "./session";
import { enter, environment } from "./market";
import { listen, send } from "./stream/feed";
import { toast } from "./toasts";
import { cancellation, rejection, sideName } from "./words";

const KEY = "venue.account";
const KEPT = 200;
const FINAL = new Set([OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.EXPIRED]);

export const accountList = signal<Account[]>([]);
export const accountsKnown = signal(false);
export const accountId = signal(localStorage.getItem(KEY) ?? "");
export const account = computed(() => accountList.value.find((one) => one.accountId === accountId.value));
export const openOrders = signal<ReadonlyMap<string, Order>>(new Map());
export const closedOrders = signal<Order[]>([]);
export const fills = signal<Fill[]>([]);
export const balances = signal<ReadonlyMap<string, Balance>>(new Map());
export const positions = signal<ReadonlyMap<string, Position>>(new Map());
/** An order of one's own that was pressed: the form takes its values. */
export const chosen = signal<Order | null>(null);

export function choose(id: string): void {
  accountId.value = id;
  localStorage.setItem(KEY, id);
}

addEventListener("storage", (event) => {
  if (event.key === KEY && event.newValue) accountId.value = event.newValue;
});

function forget(): void {
  openOrders.value = new Map();
  closedOrders.value = [];
  fills.value = [];
  balances.value = new Map();
  positions.value = new Map();
  chosen.value = null;
}

export async function loadAccounts(): Promise<void> {
  try {
    const listed = await accounts.listAccounts({ pageSize: 500 });
    accountList.value = listed.accounts;
    accountsKnown.value = true;
    if (!listed.accounts.some((one) => one.accountId === accountId.peek())) {
      const [first] = listed.accounts.filter((one) => one.environment === environment.peek());
      const next = first ?? listed.accounts[0];
      if (next) choose(next.accountId);
      else accountId.value = "";
    }
  } catch (error) {
    toast("bad", "Accounts", failure(error).message);
  }
}

/** Opens an account and shows it. Throws the refusal. */
export async function openAccount(type: AccountType, name: string): Promise<void> {
  const id = requestId();
  const { account: opened } = await surely(() => accounts.createAccount({ type, name, requestId: id }));
  accountList.value = [...accountList.value, opened!];
  choose(opened!.accountId);
}

/** What happened before the stream began, for the lists. */
async function loadHistory(id: string): Promise<void> {
  try {
    const [filled, ended] = await Promise.all([
      orders.listFills({ accountId: id, pageSize: 100 }),
      orders.listOrders({ accountId: id, pageSize: 100, status: [...FINAL] }),
    ]);
    if (id !== accountId.peek()) return;
    fills.value = merge(filled.fills, fills.peek(), (one) => `${one.tradeId} ${one.orderId}`);
    closedOrders.value = merge(ended.orders, closedOrders.peek(), (one) => one.orderId);
  } catch (error) {
    toast("bad", "History", failure(error).message);
  }
}

/** Both lists as one, newest first, each thing once. */
function merge<Item extends { sequence: bigint }>(older: Item[], newer: Item[], key: (item: Item) => string): Item[] {
  const all = new Map([...older, ...newer].map((item) => [key(item), item]));
  return [...all.values()].sort((a, b) => Number(b.sequence - a.sequence)).slice(0, KEPT);
}

function updated(updates: OrderUpdate[]): void {
  const open = new Map(openOrders.peek());
  const ended: Order[] = [];
  const filled: Fill[] = [];
  for (const { order, fills: list } of updates) {
    if (!order) continue;
    const before = open.get(order.orderId);
    filled.push(...list);
    if (FINAL.has(order.status)) {
      open.delete(order.orderId);
      ended.push(order);
    } else open.set(order.orderId, order);
    announce(order, before, list);
  }
  openOrders.value = open;
  if (ended.length) closedOrders.value = merge(closedOrders.peek(), ended, (one) => one.orderId);
  if (filled.length) fills.value = merge(fills.peek(), filled, (one) => `${one.tradeId} ${one.orderId}`);
}

function announce(order: Order, before: Order | undefined, list: Fill[]): void {
  const what = `${sideName(order.side)} ${order.quantity || order.quoteAmount} ${order.symbol}`;
  const terms = `${order.price ? ` at ${order.price}` : ""}${order.stopPrice ? `, stop ${order.stopPrice}` : ""}`;
  // A trailing stop moves by itself.
  const moved = before && before.stopPrice !== order.stopPrice && order.type !== OrderType.TRAILING_STOP;
  const average = order.averagePrice ? ` at ${order.averagePrice}` : "";
  if (order.status === OrderStatus.FILLED) toast("good", "Filled", `${what}${average}`);
  else if (order.status === OrderStatus.REJECTED) toast("bad", "Rejected", `${what}: ${rejection(order.rejectReason)}`);
  else if (order.status === OrderStatus.CANCELLED) {
    const why = cancellation(order.cancelReason);
    toast("plain", "Cancelled", `${what}${why === "requested" ? "" : ` (${why})`}`);
  } else if (order.status === OrderStatus.EXPIRED) toast("plain", "Expired", what);
  else if (list.length) toast("good", "Partly filled", `${order.filledQuantity} of ${what}${average}`);
  else if (!before) toast("plain", order.status === OrderStatus.PENDING_TRIGGER ? "Waiting" : "Placed", `${what}${terms}`);
  else if (before.status === OrderStatus.PENDING_TRIGGER && order.status === OrderStatus.OPEN) toast("plain", "Triggered", what);
  else if (before.price !== order.price || before.quantity !== order.quantity || moved)
    toast("plain", "Changed", `${what}${terms}`);
}

listen((message) => {
  if (message.kind === "token") return void pass(message.over);
  if (message.kind === "orders" && message.accountId === accountId.peek()) {
    const said = message.frame.frame;
    if (said.case === "snapshot") {
      openOrders.value = new Map(said.value.orders.map((one) => [one.orderId, one]));
      void loadHistory(message.accountId);
    } else if (said.case === "event") updated(said.value.updates);
  }
  if (message.kind === "account" && message.accountId === accountId.peek()) {
    const said = message.frame.frame;
    if (said.case !== "snapshot" && said.case !== "event") return;
    const base = said.case === "snapshot";
    balances.value = new Map([...(base ? [] : balances.peek()), ...said.value.balances.map((one) => [one.asset, one] as const)]);
    positions.value = new Map([...(base ? [] : positions.peek()), ...said.value.positions.map((one) => [one.symbol, one] as const)]);
  }
});

async function pass(over: string): Promise<void> {
  const fresh = await renew(over).catch(() => null);
  if (fresh) send({ kind: "account", accountId: accountId.peek(), token: fresh, anew: false });
}

/** Follows who is logged in and which account is chosen. */
export function follow(): void {
  let shown = "";
  let user = "";
  effect(() => {
    const now = session.value?.userId ?? "";
    if (now === user) return;
    user = now;
    accountsKnown.value = false;
    accountList.value = [];
    forget();
    if (now) void loadAccounts();
  });
  effect(() => {
    const id = accountId.value;
    const access = session.value?.access ?? "";
    const known = account.value;
    if (id !== shown) forget();
    send({ kind: "account", accountId: access && known ? id : "", token: known ? access : "", anew: id !== shown || !known });
    shown = known ? id : "";
    if (known && known.environment !== environment.peek()) void enter(known.environment);
  });
}
