// A browser's view of the gateway: Connect's gRPC-web client on Node. Takes {url, token} on standard input, does one call after
// another and prints what each gave as one JSON object.
import { text } from "node:stream/consumers";

import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

import { ErrorInfoSchema, PreconditionFailureSchema } from "../../../gen/typescript/google/rpc/error_details_pb.js";
import { AuthService } from "../../../gen/typescript/venue/auth/v1/auth_pb.js";
import { Channel, MarketDataService } from "../../../gen/typescript/venue/marketdata/v1/marketdata_pb.js";
import { OrderType, TimeInForce } from "../../../gen/typescript/venue/order/v1/order_pb.js";
import { OrderService } from "../../../gen/typescript/venue/order/v1/order_service_pb.js";
import { Side } from "../../../gen/typescript/venue/type/v1/type_pb.js";

interface Refusal {
  code: string;
  message: string;
  reason: string | null;
  preconditions: number;
}

async function refusal(call: () => Promise<unknown>): Promise<Refusal> {
  try {
    await call();
  } catch (error) {
    const refused = ConnectError.from(error);
    const [info] = refused.findDetails(ErrorInfoSchema);
    const preconditions = refused.findDetails(PreconditionFailureSchema);
    return { code: Code[refused.code], message: refused.rawMessage, reason: info?.reason ?? null, preconditions: preconditions.length };
  }
  throw new Error("expected a refusal");
}

const { url, token }: { url: string; token: string } = JSON.parse(await text(process.stdin));
const transport = createGrpcWebTransport({ baseUrl: url, useBinaryFormat: true });
const auth = createClient(AuthService, transport);
const orders = createClient(OrderService, transport);
const marketData = createClient(MarketDataService, transport);
const headers = { authorization: `Bearer ${token}` };

const me = await auth.whoAmI({}, { headers });
const placed = await orders.placeOrder(
  {
    accountId: "demo-1",
    symbol: "ETH-USD",
    side: Side.BUY,
    type: OrderType.MARKET,
    timeInForce: TimeInForce.IOC,
    quantity: "0.1",
  },
  { headers },
);

// The next frame is made only when the one before it has arrived: one that was held back would never be followed.
const frames: { kind: string | undefined; sequence: string }[] = [];
for await (const frame of marketData.subscribe({ symbols: ["STEPPED"], channels: [Channel.BOOK] })) {
  frames.push({ kind: frame.frame.case, sequence: `${frame.sequence}` });
  await marketData.getMarket({ symbol: "STEPPED" });
}

// Begun first: it takes as long as the gateway lets it, and the rest need not wait.
const cut = refusal(() => orders.listFills({ accountId: "demo-1" }, { headers }));
const refusals = {
  nobody: await refusal(() => auth.whoAmI({})),
  closed: await refusal(() => orders.cancelOrder({ orderId: "1-7" }, { headers })),
  fault: await refusal(() => orders.getOrder({ orderId: "1-7" }, { headers })),
  hanging: await refusal(() => orders.listFills({ accountId: "demo-1" }, { headers, timeoutMs: 800 })),
  cut: await cut,
  inTheMiddle: await refusal(async () => {
    for await (const frame of marketData.subscribe({ symbols: ["ENDS-BADLY"], channels: [Channel.BOOK] })) void frame;
  }),
};

console.log(
  JSON.stringify({ userId: me.user?.userId, orderId: placed.order?.orderId, sequence: `${placed.order?.sequence}`, frames, refusals }),
);
