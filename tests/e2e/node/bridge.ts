// Connect's gRPC-web client as a pipe. Each line on standard input is a call {id, method, request, token, stream} or a hang-up
// {id, cancel}; each line on standard output what came of one: {id, answer}, {id, refusal}, {id, frame} or {id, end}.
import { createInterface } from "node:readline";

import { create, createRegistry, fromJson, toJson } from "@bufbuild/protobuf";
import type { DescMethod, DescService, JsonValue } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

import * as details from "../../../gen/typescript/google/rpc/error_details_pb.js";
import { AccountService } from "../../../gen/typescript/venue/account/v1/account_pb.js";
import { AdminService } from "../../../gen/typescript/venue/admin/v1/admin_pb.js";
import { AuthService } from "../../../gen/typescript/venue/auth/v1/auth_pb.js";
import { FundingService } from "../../../gen/typescript/venue/funding/v1/funding_pb.js";
import { MarketDataService } from "../../../gen/typescript/venue/marketdata/v1/marketdata_pb.js";
import { OrderService } from "../../../gen/typescript/venue/order/v1/order_service_pb.js";

interface Line {
  id: number;
  method: string;
  request: JsonValue;
  token: string;
  stream: boolean;
  cancel?: boolean;
}

const services: DescService[] = [AccountService, AdminService, AuthService, FundingService, MarketDataService, OrderService];
const methods = new Map(services.flatMap((service) => service.methods.map((each) => [`${service.typeName}.${each.name}`, each])));
const registry = createRegistry(details.file_google_rpc_error_details);
const transport = createGrpcWebTransport({ baseUrl: process.argv[2] as string, useBinaryFormat: true });
const calls = new Map<number, AbortController>();

function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function refusal(error: unknown): object {
  const refused = ConnectError.from(error);
  const [info] = refused.findDetails(details.ErrorInfoSchema);
  const code = Code[refused.code]!.replace(/(?<=[a-z])[A-Z]/g, "_$&").toUpperCase();
  return { code, reason: info?.reason ?? "", message: refused.rawMessage };
}

async function answer(line: Line, method: DescMethod): Promise<void> {
  const ending = new AbortController();
  calls.set(line.id, ending);
  const headers = line.token ? { authorization: `Bearer ${line.token}` } : undefined;
  const shown = { registry, alwaysEmitImplicit: true };
  try {
    const request = fromJson(method.input, line.request);
    if (method.methodKind === "unary") {
      const given = await transport.unary(method as DescMethod & { methodKind: "unary" }, ending.signal, 10_000, headers, request);
      say({ id: line.id, answer: toJson(method.output, given.message, shown) });
      return;
    }
    async function* only() {
      yield create(method.input, request);
    }
    const kind = method as DescMethod & { methodKind: "server_streaming" };
    const given = await transport.stream(kind, ending.signal, undefined, headers, only());
    for await (const frame of given.message) say({ id: line.id, frame: toJson(method.output, frame, shown) });
    say({ id: line.id, end: true });
  } catch (error) {
    say({ id: line.id, refusal: refusal(error) });
  }
}

for await (const text of createInterface({ input: process.stdin })) {
  const line: Line = JSON.parse(text);
  if (line.cancel) calls.get(line.id)?.abort();
  else void answer(line, methods.get(line.method)!);
}
for (const ending of calls.values()) ending.abort();
