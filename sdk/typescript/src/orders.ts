// The open orders of an account, kept from its stream. Pure: give `take` every message of StreamOrders.
import { OrderStatus, type Fill, type Order } from "./gen/venue/order/v1/order_pb.js";
import type { StreamOrdersResponse } from "./gen/venue/order/v1/order_service_pb.js";
import { StreamBroken } from "./market.js";

const OPEN = new Set([OrderStatus.PENDING_TRIGGER, OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED]);

/** A changed order, and the fills that changed it. */
export interface Update { order: Order; fills: Fill[] }

export class OpenOrders {
  readonly orders = new Map<string, Order>();
  position = "";
  /** How often changes were lost to the stream: what happened meanwhile, ListOrders and ListFills know. */
  gaps = 0;
  #sequence: bigint | undefined;

  /** Apply a message; each changed order. Throws StreamBroken. */
  take(message: StreamOrdersResponse): Update[] {
    const updates: Update[] = [];
    const { case: kind, value } = message.frame;
    if (kind === "snapshot") {
      this.orders.clear();
      for (const order of value.orders) this.orders.set(order.orderId, order);
      this.#sequence = message.sequence;
    } else if (kind === "event") {
      if (this.#sequence !== undefined && message.previousSequence > this.#sequence)
        throw new StreamBroken(`${this.#sequence} is known, ${message.previousSequence} comes before this`);
      if (this.#sequence === undefined || message.sequence > this.#sequence) {
        this.#sequence = message.sequence;
        for (const { order, fills } of value.updates) {
          if (!order) continue;
          if (OPEN.has(order.status)) this.orders.set(order.orderId, order);
          else this.orders.delete(order.orderId);
          updates.push({ order, fills });
        }
      }
    } else if (kind === "gap") this.gaps++;
    this.position = message.position || this.position;
    return updates;
  }
}
