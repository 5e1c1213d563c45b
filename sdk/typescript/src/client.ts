// The client: every service of the contract with credential, retries and typed errors, and the common calls.
import type { DescService } from "@bufbuild/protobuf";
import { createClient, type Client as Stub, type Transport } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { AccountService, AccountType, type Balance } from "./gen/venue/account/v1/account_pb.js";
import { AuthService } from "./gen/venue/auth/v1/auth_pb.js";
import { MarketDataService, type Channel } from "./gen/venue/marketdata/v1/marketdata_pb.js";
import { OrderStatus, OrderType, RejectReason, TimeInForce, type Order } from "./gen/venue/order/v1/order_pb.js";
import { OrderService, type GetRequestOutcomeResponse, type PlaceOrderResponse } from "./gen/venue/order/v1/order_service_pb.js";
import { Side } from "./gen/venue/type/v1/type_pb.js";
import type { Credential } from "./credentials.js";
import { decimal } from "./decimal.js";
import { errorOf, OrderRejected } from "./errors.js";
import { MarketState, type Change } from "./market.js";
import { OpenOrders, type Update } from "./orders.js";
import { requestId } from "./request_ids.js";
import { PATIENCE, retrying, type Patience } from "./retries.js";
import { kept } from "./streams.js";

export interface Options {
  credential?: Credential;
  patience?: Partial<Patience>;
  /** Another way to the venue than gRPC-web by fetch; `interceptors` have to be in it. */
  transport?: (interceptors: NonNullable<Parameters<typeof createGrpcWebTransport>[0]["interceptors"]>) => Transport;
}

export interface NewOrder {
  accountId: string;
  symbol: string;
  side: "BUY" | "SELL";
  quantity: string | bigint;
  /** A limit order with it, a market order without. */
  price?: string | bigint;
  postOnly?: boolean;
  clientOrderId?: string;
}

/** A stub whose unary calls throw VenueError. */
function typed<Service extends DescService>(service: Service, transport: Transport): Stub<Service> {
  const stub = createClient(service, transport) as Record<string, (...given: unknown[]) => Promise<unknown>>;
  for (const { localName, methodKind } of service.methods) {
    const call = stub[localName]!;
    if (methodKind === "unary") stub[localName] = (...given) => call(...given).catch((thrown: unknown) => { throw errorOf(thrown); });
  }
  return stub as unknown as Stub<Service>;
}

/** `baseUrl` is that of the gateway: http://localhost:8080. In a page of the gateway's own, location.origin. */
export class Client {
  readonly auth: Stub<typeof AuthService>;
  readonly accounts: Stub<typeof AccountService>;
  readonly orders: Stub<typeof OrderService>;
  readonly marketdata: Stub<typeof MarketDataService>;
  readonly #patience: Patience;
  readonly #credential: Credential | undefined;
  // Log-in and streams go without the interceptor: it would wait for itself, or has nothing to say.
  readonly #plain: Transport;

  constructor(baseUrl: string, { credential, patience, transport }: Options = {}) {
    const made = transport ?? ((interceptors) => createGrpcWebTransport({ baseUrl, interceptors }));
    this.#patience = { ...PATIENCE, ...patience };
    this.#credential = credential;
    this.#plain = made([]);
    const through = made([retrying(this.#plain, credential, this.#patience)]);
    this.auth = typed(AuthService, through);
    this.accounts = typed(AccountService, through);
    this.orders = typed(OrderService, through);
    this.marketdata = typed(MarketDataService, through);
  }

  /** The oldest demo account's id; one is opened where there is none. */
  async demoAccount(): Promise<string> {
    const { accounts } = await this.accounts.listAccounts({ pageSize: 500 });
    const found = accounts.find(({ type }) => type === AccountType.DEMO);
    return found?.accountId ?? (await this.accounts.createAccount({ type: AccountType.DEMO, name: "Demo" })).account!.accountId;
  }

  /** By asset, at least as new as the position. */
  async balances(accountId: string, minPosition = ""): Promise<Map<string, Balance>> {
    const { balances } = await this.accounts.listBalances({ accountId, minPosition });
    return new Map(balances.map((balance) => [balance.asset, balance]));
  }

  /** Place an order that lives until cancelled, or a market order. Repeated until the answer is known, at last by GetRequestOutcome. */
  async place(order: NewOrder): Promise<PlaceOrderResponse> {
    const limit = order.price !== undefined;
    const id = requestId();
    try {
      return await this.orders.placeOrder({
        accountId: order.accountId, symbol: order.symbol, side: Side[order.side], requestId: id,
        type: limit ? OrderType.LIMIT : OrderType.MARKET,
        timeInForce: limit ? TimeInForce.GTC : TimeInForce.IOC,
        quantity: decimal(order.quantity), price: limit ? decimal(order.price!) : "",
        postOnly: order.postOnly ?? false, clientOrderId: order.clientOrderId ?? "",
      });
    } catch (thrown) {
      const error = errorOf(thrown, id);
      if (!error.isOutcomeUnknown) throw error;
      const outcome = await this.outcome(order.accountId, id);
      if (outcome?.outcome.case !== "placed") throw error;
      return outcome.outcome.value;
    }
  }

  /** What became of a mutation whose answer was lost. Undefined: nothing is known of it, and repeating it is safe. */
  async outcome(accountId: string, id: string): Promise<GetRequestOutcomeResponse | undefined> {
    return this.orders.getRequestOutcome({ accountId, requestId: id }).catch((thrown: unknown) => {
      if (errorOf(thrown).reason === "REQUEST_NOT_FOUND") return undefined;
      throw thrown;
    });
  }

  async cancel(orderId: string): Promise<Order> {
    return (await this.orders.cancelOrder({ orderId })).order!;
  }

  /** Every change of the account's orders, once each, until the signal; `state` has the open ones. */
  orderUpdates(accountId: string, state = new OpenOrders(), signal = new AbortController().signal): AsyncGenerator<Update> {
    const stub = createClient(OrderService, this.#plain);
    const open = (resumeAfter: string, headers: Record<string, string>, ending: AbortSignal) =>
      stub.streamOrders({ accountId, resumeAfter }, { headers, signal: ending });
    return kept(open, state, this.#credential, this.#plain, this.#patience, signal);
  }

  /** Every change of the markets, until the signal; `state` has books, tickers and so on. */
  marketChanges(symbols: string[], channels: Channel[], state = new MarketState(), signal = new AbortController().signal): AsyncGenerator<Change> {
    const stub = createClient(MarketDataService, this.#plain);
    const open = (resumeAfter: string, headers: Record<string, string>, ending: AbortSignal) =>
      stub.subscribe({ symbols, channels, depth: state.depth, resumeAfter }, { headers, signal: ending });
    return kept(open, state, this.#credential, this.#plain, this.#patience, signal);
  }
}

/** The order of an answer. Throws OrderRejected. */
export function accepted(answer: PlaceOrderResponse): Order {
  const order = answer.order!;
  if (order.status === OrderStatus.REJECTED) throw new OrderRejected(RejectReason[order.rejectReason], order.orderId);
  return order;
}
