// Pending actions in words.
import { PendingActionKind, type PendingAction } from "@gen/venue/admin/v1/admin_pb";
import { Role } from "@gen/venue/option/v1/access_pb";
import { Environment } from "@gen/venue/type/v1/type_pb";
import { capital, stateName } from "./words";

export const kindName = (action: PendingAction): string => capital(PendingActionKind[action.kind]!.toLowerCase().replaceAll("_", " "));

const fields = (value: object): string =>
  Object.entries(value)
    .filter(([name, one]) => !name.startsWith("$") && one !== "" && one !== 0 && one !== undefined && typeof one !== "object")
    .map(([name, one]) => `${name} ${String(one)}`)
    .join(", ");

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
    case "adjustBalance": return `${action.value.accountId}: ${action.value.amount} ${action.value.asset}`;
    case undefined: return "";
    // Whatever else there is to approve: every field that is set, so that nobody approves blindly.
    default: return fields(action.value);
  }
}
