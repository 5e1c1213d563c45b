// What pages and the hub of streams say to each other. Frames travel as the messages of the contract.
import type { StreamAccountResponse } from "@gen/venue/account/v1/account_pb";
import type { Channel, SubscribeResponse } from "@gen/venue/marketdata/v1/marketdata_pb";
import type { StreamOrdersResponse } from "@gen/venue/order/v1/order_service_pb";
import type { Environment } from "@gen/venue/type/v1/type_pb";

export type StreamName = "market" | "orders" | "account";

export interface Wanted {
  symbol: string;
  channel: Channel;
}

export type ToHub =
  | { kind: "want"; environment: Environment; wanted: Wanted[] }
  | { kind: "account"; accountId: string; token: string; anew: boolean }
  | { kind: "ping" }
  | { kind: "wake" }
  | { kind: "bye" };

export type FromHub =
  | { kind: "market"; environment: Environment; frame: SubscribeResponse }
  | { kind: "orders"; accountId: string; frame: StreamOrdersResponse }
  | { kind: "account"; accountId: string; frame: StreamAccountResponse }
  | { kind: "state"; states: Record<StreamName, boolean>; reasons: Partial<Record<StreamName, string>> }
  | { kind: "token"; over: string }
  /** The hub does not know the page: it was silent for too long, or the hub began anew. The page says again what it wants. */
  | { kind: "stranger" };
