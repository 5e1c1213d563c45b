// Values of the contract in words.
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { MarketState } from "@gen/venue/marketdata/v1/marketdata_pb";
import { CancelReason, ListRole, OrderStatus, OrderType, RejectReason, TimeInForce } from "@gen/venue/order/v1/order_pb";
import type { PreviewCheck } from "@gen/venue/order/v1/order_service_pb";
import { Side } from "@gen/venue/type/v1/type_pb";
import { amount, fixed, floorTo, ONE } from "./decimal";

const lower = (name: string | undefined): string => (name ?? "").toLowerCase().replaceAll("_", " ");
export const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

export const sideName = (side: Side): string => (side === Side.BUY ? "Buy" : "Sell");
export const typeName = (type: OrderType): string => capital(lower(OrderType[type]));
/** What an order is to those that it is linked with, behind its type; nothing where it stands alone. */
export const roleName = (role: ListRole): string =>
  ({ [ListRole.UNSPECIFIED]: "", [ListRole.OCO]: " · OCO", [ListRole.ENTRY]: " · bracket", [ListRole.TAKE_PROFIT]: " · exit", [ListRole.STOP_LOSS]: " · exit" })[role];
export const statusName = (status: OrderStatus): string => capital(lower(OrderStatus[status]));
export const forceName = (force: TimeInForce): string => TimeInForce[force] ?? "";
export const stateName = (state: MarketState): string => capital(lower(MarketState[state]));
export const rejection = (reason: RejectReason): string => capital(lower(RejectReason[reason]));

/** What would pass a check: a bound by itself says little to who types an order. */
export function remedy({ check, limit, after }: PreviewCheck, asset: string, digits: number): string {
  switch (check) {
    case RejectReason.INSUFFICIENT_FUNDS: {
      // Rounded up: so much more is enough.
      const step = ONE / 10n ** BigInt(digits);
      return `${fixed(floorTo(step - 1n - amount(after), step), digits)} ${asset} short`;
    }
    case RejectReason.PRICE_OFF_TICK: return `a multiple of ${limit}, not ${after}`;
    case RejectReason.QUANTITY_OFF_LOT: return `a multiple of ${limit}, not ${after}`;
    case RejectReason.QUANTITY_TOO_SMALL: return `at least ${limit}`;
    default: return limit && `limit ${limit}${after && `, with this ${after}`}`;
  }
}

export const cancellation = (reason: CancelReason): string => lower(CancelReason[reason]);

export const millis = (time: Timestamp | undefined): number => (time ? Number(time.seconds) * 1000 + Math.floor(time.nanos / 1e6) : 0);
const two = (value: number): string => String(value).padStart(2, "0");

export function clock(time: Timestamp | undefined): string {
  if (!time) return "–";
  const at = new Date(millis(time));
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

export function day(time: Timestamp | undefined): string {
  if (!time) return "–";
  const at = new Date(millis(time));
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock(time)}`;
}

/** Short where it was today. */
export function moment(time: Timestamp | undefined): string {
  return time && new Date(millis(time)).toDateString() === new Date().toDateString() ? clock(time) : day(time);
}
