// The conformance program in TypeScript: what sdk/README.md says, over the built package. Knows neither Node nor a browser.
import { Channel } from "venue-sdk/gen/venue/marketdata/v1/marketdata_pb";
import { OrderStatus, OrderType, TimeInForce } from "venue-sdk/gen/venue/order/v1/order_pb";
import { Side } from "venue-sdk/gen/venue/type/v1/type_pb";
import { accepted, Client, decimal, MarketState, OpenOrders, Password, requestId, VenueError } from "venue-sdk";

/** What was seen at the venue, as the programs of all languages tell it. */
export async function conformance(url, email, password) {
  const client = new Client(url, { credential: new Password(email, password) });
  const accountId = await client.demoAccount();
  const ending = new AbortController();
  const state = new OpenOrders();
  const updates = client.orderUpdates(accountId, state, ending.signal);
  const streamed = [];
  const listening = (async () => {
    for await (const { order } of updates) {
      streamed.push(OrderStatus[order.status]);
      if (order.status === OrderStatus.CANCELLED) return;
    }
  })();
  const begun = async () => {
    while (!state.position) await new Promise((done) => setTimeout(done, 20));
  };
  await Promise.race([begun(), listening]);

  const request = {
    accountId, symbol: "ETH-USD", side: Side.BUY, type: OrderType.LIMIT, timeInForce: TimeInForce.GTC,
    quantity: "0.50", price: "2.50", requestId: requestId(),
  };
  const placed = await client.orders.placeOrder(request);
  const order = accepted(placed);
  const held = (await client.balances(accountId, placed.position)).get("USD").held;
  const again = await client.orders.placeOrder(request);
  const cancelled = await client.cancel(order.orderId);
  await listening;
  ending.abort();

  const refused = await client.place({ accountId, symbol: "ETH-USD", side: "BUY", quantity: "1", price: "2.5", clientOrderId: "no spaces" })
    .catch((error) => error);
  if (!(refused instanceof VenueError)) throw new Error("a label with a space was taken");

  // A book of a market that moves, compared with its checksum at every frame.
  const market = new MarketState(20);
  const watching = new AbortController();
  let changes = 0;
  for await (const { channel } of client.marketChanges(["ETH-USD"], [Channel.BOOK], market, watching.signal)) {
    if (channel === "book" && ++changes === 5) break;
  }
  watching.abort();
  if (!(market.books.get("ETH-USD").bids.length > 0)) throw new Error("no book");
  if (decimal("-00.500") !== "-0.5") throw new Error("decimals");

  return {
    statuses: [OrderStatus[order.status], OrderStatus[cancelled.status]], price: order.price, quantity: order.quantity, held,
    replayed: again.replayed && again.order.orderId === order.orderId, streamed,
    reason: refused.reason, fields: refused.violations.map(({ field }) => field),
  };
}
