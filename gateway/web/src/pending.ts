// Pending actions in words.
import { PendingActionKind, type PendingAction } from "@gen/venue/admin/v1/admin_pb";
import { type TradingHours } from "@gen/venue/marketdata/v1/marketdata_pb";
import { Role } from "@gen/venue/option/v1/access_pb";
import { Environment } from "@gen/venue/type/v1/type_pb";
import { capital, stateName } from "./words";

export const kindName = (action: PendingAction): string => capital(PendingActionKind[action.kind]!.toLowerCase().replaceAll("_", " "));

const fields = (value: object): string =>
  Object.entries(value)
    .filter(([name, one]) => !name.startsWith("$") && one !== "" && one !== 0 && one !== undefined && typeof one !== "object")
    .map(([name, one]) => `${name} ${String(one)}`)
    .join(", ");

const DAYS = ["", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const clock = (second: number): string => new Date(second * 1000).toISOString().slice(11, second % 60 ? 19 : 16);

/** When a market trades, in words; UTC. */
const hoursText = (hours: TradingHours[]): string =>
  hours.length
    ? hours.map((one) => `${DAYS[one.weekday]} ${clock(one.openSecond)}–${one.closeSecond === 86_400 ? "24:00" : clock(one.closeSecond)}${one.auctionSeconds ? ` after an auction of ${one.auctionSeconds} s` : ""}`).join(", ")
    : "always open";

/** What exactly is to be done: whoever approves it reads this. */
export function describe({ action }: PendingAction): string {
  switch (action.case) {
    case "setUserRole": return `${action.value.userId}: ${Role[action.value.previousRole]} becomes ${Role[action.value.role]}`;
    case "unfreezeUser": return `${action.value.userId} may log in again`;
    case "setMarketState": return `${action.value.symbol} (${Environment[action.value.environment]}): ${stateName(action.value.previousState)} becomes ${stateName(action.value.state)}`;
    case "setLimits": {
      const { accountId, tier, symbol, environment, limits } = action.value;
      const set = Object.entries(limits ?? {}).filter(([name, value]) => !name.startsWith("$") && value !== "" && value !== 0 && !(Array.isArray(value) && !value.length));
      const whom = [accountId, tier && `tier ${tier}`, symbol].filter(Boolean).join(", ") || "everybody";
      return `${whom} (${Environment[environment]}): ${set.map(([name, value]) => `${name} ${String(value)}`).join(", ")}`;
    }
    case "setAccountTerms": {
      const { accountId, previousTier, tier, previousSelfTradeGroup, selfTradeGroup } = action.value;
      const changes = [["tier", previousTier, tier], ["self-trade group", previousSelfTradeGroup, selfTradeGroup]].filter(([, before, after]) => before !== after);
      return `${accountId}: ${changes.map(([what, before, after]) => `${what} ${before} becomes ${after}`).join(", ")}`;
    }
    case "createMarket": {
      const { environment, state, tradingHours, ...rest } = action.value;
      return `${Environment[environment]}: ${fields(rest)}, ${stateName(state)} at first, ${hoursText(tradingHours)}`;
    }
    case "setTradingHours": return `${action.value.symbol} (${Environment[action.value.environment]}): ${hoursText(action.value.previousHours)} becomes ${hoursText(action.value.hours)}`;
    case "setFees": {
      const { rule, previousMakerFeeRate, previousTakerFeeRate } = action.value;
      const was = previousTakerFeeRate ? `maker ${previousMakerFeeRate}, taker ${previousTakerFeeRate}` : "the rates of default";
      return rule ? `${rule.symbol} (${Environment[rule.environment]}), tier ${rule.tier}: ${was} becomes maker ${rule.makerFeeRate}, taker ${rule.takerFeeRate}` : "";
    }
    case "createAsset": return `${action.value.symbol} (${Environment[action.value.environment]}): ${action.value.scale} digits kept, ${action.value.displayScale} shown`;
    case "adjustBalance": return `${action.value.accountId}: ${action.value.amount} ${action.value.asset}`;
    case undefined: return "";
    // Whatever else there is to approve: every field that is set, so that nobody approves blindly.
    default: return fields(action.value);
  }
}
