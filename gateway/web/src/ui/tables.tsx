// What the account has: open orders, ended ones, fills, positions, balances.
import { signal, useSignal } from "@preact/signals";
import { ListRole, OrderStatus, OrderType, type Order } from "@gen/venue/order/v1/order_pb";
import { Side } from "@gen/venue/type/v1/type_pb";
import { accountId, balances, choose, chosen, closedOrders, fills, openOrders, positions, account, accountList } from "../account";
import { failure, orders, requestId, surely } from "../api";
import { amount, digitsOf, fixed, plain, shown, times } from "../decimal";
import { markets, show, symbol, tickers } from "../market";
import { go } from "../route";
import { isLoggedIn } from "../session";
import { accountLive } from "../stream/feed";
import { trayOpen } from "../ticket";
import { toast } from "../toasts";
import { cancellation, moment, rejection, roleName, sideName, statusName, typeName } from "../words";
import { Tabs } from "./field";

type Tab = "orders" | "history" | "fills" | "positions" | "balances";
const tab = signal<Tab>("orders");
const hereOnly = signal(false);

const digits = (of: string): [number, number] => {
  const market = markets.value.find((one) => one.symbol === of);
  return [digitsOf(market?.tickSize ?? "0.01"), digitsOf(market?.lotSize ?? "0.0001")];
};
const way = (side: Side) => <span class={side === Side.BUY ? "up" : "down"}>{sideName(side)}</span>;
const symbolLink = (of: string) => <a href={`#/trade/${of}`}>{of}</a>;

function notCancelled(error: unknown): void {
  const told = failure(error);
  toast("bad", told.unanswered ? "No answer" : "Not cancelled", told.unanswered ? "It may have been cancelled all the same." : told.message);
}

export async function cancelOrder(order: Order): Promise<void> {
  const id = requestId();
  try {
    await surely(() => orders.cancelOrder({ orderId: order.orderId, requestId: id }));
  } catch (error) {
    notCancelled(error);
  }
}

export async function cancelAll(): Promise<void> {
  const id = requestId();
  try {
    const { orders: gone } = await surely(() => orders.cancelAllOrders({ accountId: accountId.peek(), symbol: hereOnly.peek() ? symbol.peek() : "", requestId: id }));
    if (!gone.length) toast("plain", "Nothing to cancel");
  } catch (error) {
    notCancelled(error);
  }
}

/** A number of an open order that is changed in its place: Enter sends it, Escape leaves it. */
function Changed({ order, name, text }: { order: Order; name: "price" | "quantity" | "stopPrice"; text: string }) {
  const editing = useSignal<string | null>(null);
  const error = useSignal("");
  const send = async (): Promise<void> => {
    const value = editing.value;
    if (value === null || value === order[name]) return void (editing.value = null);
    const id = requestId();
    try {
      await surely(() => orders.amendOrder({ orderId: order.orderId, [name]: value.trim(), requestId: id, expectedVersion: order.sequence }));
      editing.value = null;
      error.value = "";
    } catch (refused) {
      const told = failure(refused);
      error.value = told.fields[name] ?? told.message;
    }
  };
  if (!order[name]) return <>–</>;
  if (editing.value === null)
    return <button type="button" class="amend" title="Change it" aria-label={`Change ${name} ${text}`} onClick={(event) => {
      event.stopPropagation();
      editing.value = order[name];
    }}>{text}</button>;
  return (
    <span class="amending" onClick={(event) => event.stopPropagation()}>
      <input aria-label={`New ${name}`} aria-invalid={error.value ? "true" : undefined} value={editing.value} inputMode="decimal" ref={(node) => {
        if (node && document.activeElement !== node && !error.value) node.select();
      }}
        onInput={(event) => (editing.value = event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter") void send();
          if (event.key === "Escape") {
            event.stopPropagation();
            editing.value = null;
            error.value = "";
          }
        }} />
      <button type="button" aria-label="Send the change" onClick={() => void send()}>✓</button>
      {error.value && <small class="error" role="alert">{error.value}</small>}
    </span>
  );
}

function Open() {
  const list = [...openOrders.value.values()].filter((one) => !hereOnly.value || one.symbol === symbol.value).reverse();
  if (!list.length) return <p class="empty">No open orders.</p>;
  return (
    <table class="orders">
      <thead><tr><th>Market</th><th>Side</th><th>Type</th><th class="n">Price</th><th class="n">Stop</th><th class="n">Size</th><th class="n">Filled</th><th>State</th><th>Placed</th><th><span class="unseen">Do</span></th></tr></thead>
      <tbody>
        {list.map((order) => {
          const [price, size] = digits(order.symbol);
          return (
            <tr key={order.orderId} class="pressable" title="Fill the form with it" onClick={() => {
              if (order.symbol !== symbol.value) {
                go(`trade/${order.symbol}`);
                show(order.symbol);
              }
              chosen.value = order;
              trayOpen.value = matchMedia("(max-width: 759px)").matches;
            }}>
              <td>{symbolLink(order.symbol)}</td><td>{way(order.side)}</td><td class="kind" title={order.listRole === ListRole.ENTRY ? "As it fills, its take-profit and stop-loss come to life" : undefined}>{typeName(order.type)}{roleName(order.listRole)}{order.postOnly && " · post"}{order.reduceOnly && " · reduce"}</td>
              <td class="n first" data-label="Price"><Changed order={order} name="price" text={shown(order.price, price)} /></td>
              <td class="n" data-label="Stop">{order.type === OrderType.TRAILING_STOP ? shown(order.stopPrice, price) : <Changed order={order} name="stopPrice" text={shown(order.stopPrice, price)} />}</td>
              <td class="n" data-label="Size"><Changed order={order} name="quantity" text={shown(order.quantity, size)} /></td>
              <td class="n" data-label="Filled">{shown(order.filledQuantity, size)}</td>
              <td class="state">{statusName(order.status)}</td><td class="when">{moment(order.createTime)}</td>
              <td class="n do"><button type="button" class="cancel" aria-label={`Cancel ${sideName(order.side)} ${order.quantity} ${order.symbol}`} onClick={(event) => {
                event.stopPropagation();
                void cancelOrder(order);
              }}>Cancel</button></td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

function History() {
  const list = closedOrders.value.filter((one) => !hereOnly.value || one.symbol === symbol.value);
  if (!list.length) return <p class="empty">No order has ended yet.</p>;
  const outcome = (order: Order) =>
    order.status === OrderStatus.REJECTED ? `Rejected: ${rejection(order.rejectReason)}` : order.status === OrderStatus.CANCELLED ? `Cancelled (${cancellation(order.cancelReason)})` : statusName(order.status);
  return (
    <table class="orders">
      <thead><tr><th>Market</th><th>Side</th><th>Type</th><th class="n">Price</th><th class="n">Size</th><th class="n">Filled</th><th class="n">Average</th><th class="n">Fee</th><th>Outcome</th><th>Ended</th></tr></thead>
      <tbody>
        {list.map((order) => {
          const [price, size] = digits(order.symbol);
          return (
            <tr key={order.orderId}>
              <td>{symbolLink(order.symbol)}</td><td>{way(order.side)}</td><td class="kind">{typeName(order.type)}{roleName(order.listRole)}</td><td class="n first" data-label="Price">{shown(order.price, price)}</td><td class="n" data-label="Size">{shown(order.quantity, size)}</td>
              <td class="n" data-label="Filled">{shown(order.filledQuantity, size)}</td><td class="n" data-label="Average">{shown(order.averagePrice, price)}</td><td class="n first" data-label="Fee">{shown(order.fee, 4)} {order.feeAsset}</td><td class="state">{outcome(order)}</td><td class="when">{moment(order.updateTime)}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

function Fills() {
  const list = fills.value.filter((one) => !hereOnly.value || one.symbol === symbol.value);
  if (!list.length) return <p class="empty">Nothing was filled yet.</p>;
  return (
    <table class="orders" data-testid="fills">
      <thead><tr><th>Market</th><th>Side</th><th class="n">Price</th><th class="n">Size</th><th class="n">Value</th><th class="n">Fee</th><th>Role</th><th>Time</th></tr></thead>
      <tbody>
        {list.map((fill) => {
          const [price, size] = digits(fill.symbol);
          return (
            <tr key={`${fill.tradeId} ${fill.orderId}`}>
              <td>{symbolLink(fill.symbol)}</td><td>{way(fill.side)}</td><td class="n first" data-label="Price">{shown(fill.price, price)}</td><td class="n" data-label="Size">{shown(fill.quantity, size)}</td>
              <td class="n" data-label="Value">{fixed(times(amount(fill.price), amount(fill.quantity)), 2)}</td><td class="n" data-label="Fee">{shown(fill.fee, 4)} {fill.feeAsset}</td><td class="kind">{fill.liquidity === 1 ? "Maker" : "Taker"}</td><td class="when">{moment(fill.tradeTime)}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

const signed = (value: bigint) => <span class={value > 0n ? "up" : value < 0n ? "down" : ""}>{value > 0n ? "+" : ""}{fixed(value, 2)}</span>;

function Positions() {
  const list = [...positions.value.values()].filter((one) => !hereOnly.value || one.symbol === symbol.value);
  if (!list.length) return <p class="empty">No position: what orders bought in a market less what they sold.</p>;
  return (
    <table class="orders">
      <thead><tr><th>Market</th><th class="n">Quantity</th><th class="n">Average price</th><th class="n">Price</th><th class="n">Unrealized</th><th class="n">Realized</th><th>In</th></tr></thead>
      <tbody>
        {list.map((position) => {
          const [price, size] = digits(position.symbol);
          const live = tickers.value.get(position.symbol);
          const now = live?.markPrice || live?.lastPrice || position.valuationPrice;
          const quantity = amount(position.quantity);
          const unrealized = quantity === 0n ? 0n : times(amount(now), quantity) - amount(position.cost);
          return (
            <tr key={position.symbol}>
              <td>{symbolLink(position.symbol)}</td><td class="n first" data-label="Quantity"><span class={quantity >= 0n ? "up" : "down"}>{fixed(quantity, size)}</span></td><td class="n" data-label="Average">{shown(position.averagePrice, price)}</td>
              <td class="n" data-label="Price">{shown(now, price)}</td><td class="n" data-label="Unrealized">{signed(unrealized)}</td><td class="n first" data-label="Realized">{signed(amount(position.realizedProfit))}</td><td class="kind">{position.quoteAsset}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

function Balances() {
  const list = [...balances.value.values()].sort((a, b) => a.asset.localeCompare(b.asset));
  if (!list.length) return <p class="empty">No funds.</p>;
  return (
    <table data-testid="balances">
      <thead><tr><th>Asset</th><th class="n">Available</th><th class="n">Held by orders</th><th class="n">Total</th></tr></thead>
      <tbody>
        {list.map((one) => <tr key={one.asset}><td>{one.asset}</td><td class="n">{shown(one.available, 8)}</td><td class="n">{shown(one.held, 8)}</td><td class="n">{shown(one.total, 8)}</td></tr>)}
      </tbody>
    </table>
  );
}

const views: Record<Tab, () => preact.JSX.Element> = { orders: Open, history: History, fills: Fills, positions: Positions, balances: Balances };

export function Tables() {
  const View = views[tab.value];
  const held = [...positions.value.values()].filter((one) => amount(one.quantity) !== 0n).length;
  const count = (value: number) => (value ? <span class="count">{value}</span> : null);
  const several = accountList.value.length > 1;
  return (
    <section class={`panel tables live${isLoggedIn.value && account.value && !accountLive.value ? " stale" : ""}`} aria-label="Account">
      <header class="panel-head">
        <Tabs label="Account" value={tab.value} onChange={(next) => (tab.value = next)}
          tabs={[["orders", <>Open orders {count(openOrders.value.size)}</>], ["history", "Order history"], ["fills", <>Fills {count(fills.value.length)}</>], ["positions", <>Positions {count(held)}</>], ["balances", "Balances"]]} />
        <div class="actions">
          {several && <select aria-label="Account" value={accountId.value} onChange={(event) => choose(event.currentTarget.value)}>{accountList.value.map((one) => <option key={one.accountId} value={one.accountId}>{one.name || one.accountId}{one.environment === 2 ? " (demo)" : ""}</option>)}</select>}
          {tab.value !== "balances" && <label class="check"><input type="checkbox" checked={hereOnly.value} onChange={(event) => (hereOnly.value = event.currentTarget.checked)} /><span>This market only</span></label>}
          {tab.value === "orders" && openOrders.value.size > 0 && <button type="button" class="button small" onClick={() => void cancelAll()}>Cancel all</button>}
        </div>
      </header>
      <div class="scroll" tabIndex={0} role="region" aria-label="Rows">
        {account.value ? <View /> : <p class="empty">{isLoggedIn.value ? "Open a demo account to trade." : "Log in to see your orders, fills and balances."}</p>}
      </div>
    </section>
  );
}

export const total = (asset: string): string => plain(amount(balances.value.get(asset)?.total ?? ""));
