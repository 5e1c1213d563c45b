// The clients of the contract over gRPC-web, and what a refusal says.
import { Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { AccountService } from "@gen/venue/account/v1/account_pb";
import { AuthService } from "@gen/venue/auth/v1/auth_pb";
import { MarketDataService } from "@gen/venue/marketdata/v1/marketdata_pb";
import { OrderService } from "@gen/venue/order/v1/order_service_pb";
import { renew, token } from "./session";

export { failure, requestId, surely, type Failure } from "./failure";

const CALL_MS = 15_000;
// Methods that read no credential, and refuse a bad one.
const OPEN = new Set(["Register", "VerifyEmail", "Login", "Refresh", "RequestPasswordReset", "ResetPassword", "UnlockLogin", "Exchange"]);

/** Puts the access token on, and once a fresh one where the server takes it no longer. */
const authorized: Interceptor = (next) => async (request) => {
  if (request.service.typeName === MarketDataService.typeName || OPEN.has(request.method.name)) return next(request);
  const used = await token();
  if (!used) return next(request);
  request.header.set("authorization", `Bearer ${used}`);
  try {
    return await next(request);
  } catch (error) {
    if (ConnectError.from(error).code !== Code.Unauthenticated) throw error;
    const fresh = await renew(used);
    if (!fresh) throw error;
    request.header.set("authorization", `Bearer ${fresh}`);
    return await next(request);
  }
};

const transport = createGrpcWebTransport({
  baseUrl: location.origin,
  useBinaryFormat: true,
  defaultTimeoutMs: CALL_MS,
  interceptors: [authorized],
});

export const auth = createClient(AuthService, transport);
export const accounts = createClient(AccountService, transport);
export const orders = createClient(OrderService, transport);
export const marketData = createClient(MarketDataService, transport);
