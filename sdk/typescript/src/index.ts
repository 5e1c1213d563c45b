// The package's front door. Generated code is under venue-sdk/gen/venue/<area>/v1/<file>_pb.
export { accepted, Client, type NewOrder, type Options } from "./client.js";
export { ApiKey, Password, type Credential } from "./credentials.js";
export { compare, decimal, scaled, unscaled } from "./decimal.js";
export { errorOf, OrderRejected, VenueError, type Violation } from "./errors.js";
export { Book, MarketState, StreamBroken, type Change } from "./market.js";
export { OpenOrders, type Update } from "./orders.js";
export { requestId } from "./request_ids.js";
export { PATIENCE, type Patience } from "./retries.js";
