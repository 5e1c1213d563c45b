// The streams of all pages of a browser: one of market data that carries every market and channel that any page shows, and two of
// the account that is logged in. A browser has six connections to a host over HTTP/1.1; with streams of its own each page would
// take three, and the second one would stand still.
import { createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { AccountService, type StreamAccountResponse } from "@gen/venue/account/v1/account_pb";
import { MarketDataService, type Channel, type SubscribeResponse } from "@gen/venue/marketdata/v1/marketdata_pb";
import { OrderService, type StreamOrdersResponse } from "@gen/venue/order/v1/order_service_pb";
import type { Environment } from "@gen/venue/type/v1/type_pb";
import { KeptStream } from "./line";
import type { FromHub, StreamName, ToHub, Wanted } from "./messages";

const DEPTH = 500;
// Changes of 10 ms come together: a screen shows one in 16.
const WINDOW = { seconds: 0n, nanos: 10_000_000 };
// A quiet market says nothing for up to a heartbeat. After so long a silence the gateway is asked whether the network is there.
const PROBE_MS = 2_000;
const QUIET_MS = 4_000;
const PROBED_MS = 3_000;
const UPDATE_MS = 5_000;
// Of a page that says nothing any more: it was closed without a word.
const PAGE_GONE_MS = 70_000;

export interface Port {
  postMessage(message: FromHub): void;
}

interface Page {
  port: Port;
  environment: Environment;
  wanted: Map<string, Wanted>;
  heard: number;
}

const transport = createGrpcWebTransport({ baseUrl: self.location.origin, useBinaryFormat: true });
const marketData = createClient(MarketDataService, transport);
const orders = createClient(OrderService, transport);
const accounts = createClient(AccountService, transport);
const keyOf = ({ symbol, channel }: Wanted): string => `${symbol} ${channel}`;

export class Hub {
  private readonly pages = new Map<Port, Page>();
  private market: KeptStream<SubscribeResponse> | null = null;
  private environment: Environment = 0;
  private streamId = "";
  private updates: Promise<void> = Promise.resolve();
  private subscribed = new Map<string, Wanted>();
  private sequences = new Map<string, bigint>();
  private credential = { accountId: "", token: "" };
  private waiting: ((there: boolean) => void)[] = [];
  private private: (KeptStream<StreamOrdersResponse> | KeptStream<StreamAccountResponse>)[] = [];
  private states: Record<StreamName, boolean> = { market: false, orders: false, account: false };
  private reasons: Partial<Record<StreamName, string>> = {};

  constructor() {
    setInterval(() => this.forget(), 10_000);
    setInterval(() => void this.probe(), PROBE_MS);
    self.addEventListener("offline", () => this.lose("the network is gone"));
    self.addEventListener("online", () => this.comeBack());
  }

  take(port: Port, message: ToHub): void {
    const known = this.pages.get(port);
    if (!known && (message.kind === "ping" || message.kind === "wake")) return port.postMessage({ kind: "stranger" });
    const page = known ?? { port, environment: 0, wanted: new Map(), heard: 0 };
    page.heard = Date.now();
    this.pages.set(port, page);
    if (message.kind === "want") this.want(page, message.environment, message.wanted);
    else if (message.kind === "account") this.account(message.accountId, message.token, message.anew);
    else if (message.kind === "bye") this.drop(port);
    else if (message.kind === "wake") this.comeBack();
    // A suspended machine wakes the page before the streams' own timers.
    this.market?.watch();
    for (const stream of this.private) stream.watch();
    port.postMessage(this.state());
  }

  private state(): FromHub {
    return { kind: "state", states: { ...this.states }, reasons: { ...this.reasons } };
  }

  private tell(message: FromHub): void {
    for (const page of this.pages.values()) page.port.postMessage(message);
  }

  private changed(stream: StreamName, live: boolean, why: string): void {
    this.states[stream] = live;
    this.reasons[stream] = why;
    this.tell(this.state());
  }

  private lose(why: string): void {
    for (const name of ["market", "orders", "account"] as const) this.reasons[name] = why;
    this.states = { market: false, orders: false, account: false };
    this.tell(this.state());
    this.market?.again();
    for (const stream of this.private) stream.again();
  }

  private async probe(): Promise<void> {
    if (!this.states.market || !this.market || this.market.quietFor < QUIET_MS) return;
    try {
      await fetch(`${self.location.origin}/`, { method: "HEAD", cache: "no-store", signal: AbortSignal.timeout(PROBED_MS) });
    } catch {
      this.lose("the network is silent");
    }
  }

  private comeBack(): void {
    if (!this.states.market) this.market?.again();
    for (const stream of this.private) if (!stream.live) stream.again();
  }

  private drop(port: Port): void {
    this.pages.delete(port);
    void this.adjust();
  }

  private forget(): void {
    const before = Date.now() - PAGE_GONE_MS;
    for (const page of [...this.pages.values()]) if (page.heard < before) this.drop(page.port);
  }

  private want(page: Page, environment: Environment, wanted: Wanted[]): void {
    const before = page.wanted;
    page.environment = environment;
    page.wanted = new Map(wanted.map((one) => [keyOf(one), one]));
    if (environment !== this.environment) {
      // The last page that asks decides; the others, in another environment, begin anew with it.
      this.environment = environment;
      this.endMarket();
    }
    // What another page has already begins anew, with a snapshot for both.
    const anew = wanted.filter((one) => !before.has(keyOf(one)) && this.subscribed.has(keyOf(one)));
    void this.adjust(anew);
  }

  private union(): Map<string, Wanted> {
    const all = new Map<string, Wanted>();
    for (const page of this.pages.values())
      if (page.environment === this.environment) for (const [key, one] of page.wanted) all.set(key, one);
    return all;
  }

  /** Brings the one stream of market data to what all pages want together. */
  private async adjust(anew: Wanted[] = []): Promise<void> {
    const wanted = this.union();
    if (wanted.size === 0) return this.endMarket();
    if (!this.market) return this.beginMarket();
    if (!this.streamId) return;
    const remove = [...this.subscribed].filter(([key]) => !wanted.has(key)).map(([, one]) => one);
    const add = [...wanted].filter(([key]) => !this.subscribed.has(key)).map(([, one]) => one);
    await this.update([...add, ...anew], [...remove, ...anew]);
  }

  private update(add: Wanted[], remove: Wanted[]): Promise<void> {
    if (add.length + remove.length === 0) return this.updates;
    for (const one of remove) {
      this.subscribed.delete(keyOf(one));
      this.sequences.delete(keyOf(one));
    }
    for (const one of add) this.subscribed.set(keyOf(one), one);
    const streamId = this.streamId;
    // One after the other: calls at once may overtake each other.
    this.updates = this.updates.then(async () => {
      try {
        if (remove.length) await marketData.updateSubscriptions({ streamId, remove }, { timeoutMs: UPDATE_MS });
        if (add.length) await marketData.updateSubscriptions({ streamId, add }, { timeoutMs: UPDATE_MS });
      } catch {
        if (streamId === this.streamId) this.market?.again();
      }
    });
    return this.updates;
  }

  private endMarket(): void {
    this.market?.end();
    this.market = null;
    this.streamId = "";
    this.subscribed.clear();
    this.sequences.clear();
  }

  private beginMarket(): void {
    this.market = new KeptStream<SubscribeResponse>({
      open: (resumeAfter, signal) => this.openMarket(resumeAfter, signal),
      told: (frame) => this.toldMarket(frame),
      changed: (live, why) => this.changed("market", live, why),
    });
  }

  /** Opens with the market that has most channels, so that its trades go on without a gap; the others join. */
  private async *openMarket(resumeAfter: string, signal: AbortSignal): AsyncGenerator<SubscribeResponse> {
    this.streamId = "";
    const wanted = [...this.union().values()];
    const channels = new Map<string, Channel[]>();
    for (const { symbol, channel } of wanted) channels.set(symbol, [...(channels.get(symbol) ?? []), channel]);
    const [first] = [...channels].sort((a, b) => b[1].length - a[1].length);
    if (!first) return;
    this.subscribed = new Map(first[1].map((channel) => [keyOf({ symbol: first[0], channel }), { symbol: first[0], channel }]));
    const request = { environment: this.environment, symbols: [first[0]], channels: first[1], resumeAfter, window: WINDOW, depth: DEPTH, joined: true };
    const environment = this.environment;
    for await (const message of marketData.subscribe(request, { signal })) {
      for (const frame of message.frames.length ? message.frames : [message]) {
        if (!frame.position) frame.position = message.position;
        if (environment === this.environment) yield frame;
      }
      if (!this.streamId && message.streamId) {
        this.streamId = message.streamId;
        void this.adjust();
      }
    }
  }

  private toldMarket(frame: SubscribeResponse): void {
    const { frame: said } = frame;
    if (said.case === "snapshot" || said.case === "event") {
      const channel = { book: 2, trades: 1, ticker: 3, candle: 4, market: 5 }[said.value.data.case ?? "market"];
      const key = `${said.value.symbol} ${channel}`;
      const last = this.sequences.get(key);
      // The server says itself where something is missing. Should it not, the stream is not believed any further.
      if (said.case === "event" && last !== undefined && frame.previousSequence !== last && frame.sequence > last) {
        this.sequences.clear();
        return this.market?.again(true);
      }
      if (said.case === "event" && last !== undefined && frame.sequence <= last) return;
      this.sequences.set(key, frame.sequence);
    }
    if (said.case && said.case !== "heartbeat") this.tell({ kind: "market", environment: this.environment, frame });
  }

  /** The account whose streams are open; without a token: none. `anew`: begins with a snapshot, for a page that is new. */
  private account(accountId: string, token: string, anew: boolean): void {
    const before = this.credential;
    this.credential = { accountId, token };
    const waiting = this.waiting;
    this.waiting = [];
    for (const go of waiting) go(token !== "");
    if (accountId === before.accountId && this.private.length && token) {
      if (anew) for (const stream of this.private) stream.again(true);
      return;
    }
    for (const stream of this.private) stream.end();
    this.private = [];
    if (!accountId || !token) return;
    const renewed = (): Promise<boolean> => this.renewed();
    const headers = (): { headers: Record<string, string> } => ({ headers: { authorization: `Bearer ${this.credential.token}` } });
    this.private = [
      new KeptStream<StreamOrdersResponse>({
        open: (resumeAfter, signal) => orders.streamOrders({ accountId, resumeAfter }, { signal, ...headers() }),
        told: (frame) => this.tell({ kind: "orders", accountId, frame }),
        changed: (live, why) => this.changed("orders", live, why),
        renewed,
        quiet: true,
      }),
      new KeptStream<StreamAccountResponse>({
        open: (resumeAfter, signal) => accounts.streamAccount({ accountId, resumeAfter }, { signal, ...headers() }),
        told: (frame) => this.tell({ kind: "account", accountId, frame }),
        changed: (live, why) => this.changed("account", live, why),
        renewed,
        quiet: true,
      }),
    ];
  }

  private renewed(): Promise<boolean> {
    this.tell({ kind: "token", over: this.credential.token });
    return new Promise((go) => this.waiting.push(go));
  }
}
