// A page's end of the streams: what it wants, what comes, and whether what it shows is live.
import { computed, signal } from "@preact/signals";
import type { Environment } from "@gen/venue/type/v1/type_pb";
import type { FromHub, StreamName, ToHub, Wanted } from "./messages";

type Listener = (message: FromHub) => void;

const PING_MS = 1_000;
// The hub answers within milliseconds. A page that did not hear it for so long was asleep, or the hub is.
const UNHEARD_MS = 3_000;

const heardAt = signal(0);
const states = signal<Record<StreamName, boolean>>({ market: false, orders: false, account: false });
const reasons = signal<Partial<Record<StreamName, string>>>({});
/** False while the page cannot know whether what it shows is so: it sleeps, or is hidden. */
const awake = signal(true);
let frozen = false;

/** True once this page was told the state that it shows, and is told every change since. */
const joined = signal({ market: false, orders: false });

export const marketLive = computed(() => awake.value && joined.value.market && states.value.market);
export const accountLive = computed(() => awake.value && joined.value.orders && states.value.orders && states.value.account);
export const why = computed(() => reasons.value.market || reasons.value.orders || reasons.value.account || "");

const listeners = new Set<Listener>();

export function listen(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function told(message: FromHub): void {
  heardAt.value = Date.now();
  if (message.kind === "state") {
    states.value = message.states;
    reasons.value = message.reasons;
    if (document.visibilityState === "visible" && navigator.onLine && !frozen) awake.value = true;
  }
  if (message.kind === "stranger") {
    joined.value = { market: false, orders: false };
    send(wanted);
    if (account) send({ ...account, anew: true });
    return;
  }
  if (message.kind === "market" && message.frame.frame.case === "snapshot") joined.value = { ...joined.value, market: true };
  if (message.kind === "orders" && message.frame.frame.case === "snapshot") joined.value = { ...joined.value, orders: true };
  for (const listener of listeners) listener(message);
}

/** The shared hub; where a browser has no shared workers, one of this page's own. */
async function hub(): Promise<(message: ToHub) => void> {
  if (typeof SharedWorker === "function") {
    const worker = new SharedWorker(new URL("./worker.ts", import.meta.url), { type: "module", name: "venue" });
    worker.port.onmessage = (event: MessageEvent<FromHub>) => told(event.data);
    return (message) => worker.port.postMessage(message);
  }
  const { Hub } = await import("./hub");
  const own = new Hub();
  const port = { postMessage: (message: FromHub) => queueMicrotask(() => told(message)) };
  return (message) => own.take(port, message);
}

let post: ((message: ToHub) => void) | null = null;
const early: ToHub[] = [];

let wanted: ToHub = { kind: "want", environment: 0, wanted: [] };
let account: (ToHub & { kind: "account" }) | null = null;

export function send(message: ToHub): void {
  if (message.kind === "account") account = message;
  if (post) post(message);
  else early.push(message);
}

/** Shows these channels from now on, in place of those before. */
export function want(environment: Environment, list: Wanted[]): void {
  wanted = { kind: "want", environment, wanted: list };
  send(wanted);
}

/** What is shown may be old from this moment on; it counts again once the hub has said how the streams are. */
function doubt(): void {
  awake.value = false;
}

function wakeUp(): void {
  doubt();
  send({ kind: "wake" });
}

export async function start(): Promise<void> {
  post = await hub();
  for (const message of early.splice(0)) post(message);
  let ticked = Date.now();
  setInterval(() => {
    const now = Date.now();
    if (now - ticked > UNHEARD_MS || now - heardAt.peek() > UNHEARD_MS) doubt();
    ticked = now;
    send({ kind: "ping" });
  }, PING_MS);
  document.addEventListener("visibilitychange", () => (document.visibilityState === "visible" ? wakeUp() : doubt()));
  addEventListener("offline", doubt);
  addEventListener("online", wakeUp);
  document.addEventListener("freeze", () => {
    frozen = true;
    doubt();
  });
  document.addEventListener("resume", () => {
    frozen = false;
    wakeUp();
  });
  addEventListener("pageshow", (event) => {
    // It said good-bye when it was put away.
    if (event.persisted) location.reload();
  });
  addEventListener("pagehide", () => send({ kind: "bye" }));
}
