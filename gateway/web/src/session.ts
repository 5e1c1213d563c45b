// Who is logged in. Tokens lie in the origin's storage, so that all windows share one session; one window renews for all.
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { computed, signal } from "@preact/signals";
import { AuthService } from "@gen/venue/auth/v1/auth_pb";

export interface Session {
  access: string;
  refresh: string;
  /** Milliseconds since 1970 at which the access token is over. */
  expires: number;
  userId: string;
  email: string;
  name: string;
  verified: boolean;
}

interface Granted {
  accessToken: string;
  refreshToken?: string;
  expiresIn: number;
  user?: { userId: string; email: string; displayName: string; emailVerified: boolean } | undefined;
}

const KEY = "venue.session";
// Before its end, as clocks differ and calls take time.
const EARLY_MS = 30_000;

const stored = (): Session | null => {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "null") as Session | null;
  } catch {
    return null;
  }
};

export const session = signal<Session | null>(stored());
export const isLoggedIn = computed(() => session.value !== null);

addEventListener("storage", (event) => {
  if (event.key === KEY || event.key === null) session.value = stored();
});

const plain = createClient(AuthService, createGrpcWebTransport({ baseUrl: location.origin, useBinaryFormat: true, defaultTimeoutMs: 10_000 }));

export function keep(next: Session | null): void {
  if (next) localStorage.setItem(KEY, JSON.stringify(next));
  else localStorage.removeItem(KEY);
  session.value = next;
}

/** Takes tokens that the server gave; those of a refresh or step-up leave out what stays. */
export function granted(answer: Granted): void {
  const before = session.value;
  keep({
    access: answer.accessToken,
    refresh: answer.refreshToken || before?.refresh || "",
    expires: Date.now() + answer.expiresIn * 1000,
    userId: answer.user?.userId ?? before?.userId ?? "",
    email: answer.user?.email ?? before?.email ?? "",
    name: answer.user?.displayName ?? before?.name ?? "",
    verified: answer.user?.emailVerified ?? before?.verified ?? false,
  });
}

/** An access token that is good for a while; null where nobody is logged in. */
export async function token(): Promise<string | null> {
  const now = session.peek();
  if (!now) return null;
  return now.expires - EARLY_MS > Date.now() ? now.access : renew(now.access);
}

const locked = <Result>(work: () => Promise<Result>): Promise<Result> =>
  navigator.locks ? (navigator.locks.request("venue.renew", work) as Promise<Result>) : work();

/** A token in place of one that is over. Ends the session where the server gives none; null then. Throws where nobody answers. */
export async function renew(used: string): Promise<string | null> {
  return locked(async () => {
    const now = stored();
    if (!now) return null;
    if (now.access !== used && now.expires - EARLY_MS > Date.now()) {
      session.value = now;
      return now.access;
    }
    try {
      granted(await plain.refresh({ refreshToken: now.refresh }));
      return session.peek()!.access;
    } catch (error) {
      const code = ConnectError.from(error).code;
      if (code !== Code.Unauthenticated && code !== Code.InvalidArgument && code !== Code.PermissionDenied) throw error;
      keep(null);
      return null;
    }
  });
}
