// The hub as a shared worker: one for all pages of a browser.
import { Hub } from "./hub";
import type { ToHub } from "./messages";

const hub = new Hub();

addEventListener("connect", (event) => {
  const [port] = (event as MessageEvent).ports;
  if (!port) return;
  port.onmessage = (message: MessageEvent<ToHub>) => hub.take(port, message.data);
});
