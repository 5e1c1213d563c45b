// What stands around every page: where to go, who one is, whether what is shown is live.
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { account, accountList, accountId, choose } from "../account";
import { auth } from "../api";
import { market, symbol } from "../market";
import { go, path } from "../route";
import { isLoggedIn, keep, session } from "../session";
import { accountLive, marketLive, why } from "../stream/feed";
import { theme, turn } from "../theme";
import { dismiss, toasts } from "../toasts";
import icon from "../../public/icon.svg";

export const helpOpen = signal(false);

export async function logOut(): Promise<void> {
  await auth.logout({}).catch(() => null);
  go(`trade/${symbol.peek()}`);
  keep(null);
}

/** Says in words whether numbers are live; never by colour alone. */
function Connection() {
  const wanted = isLoggedIn.value && account.value !== undefined;
  const live = marketLive.value && (!wanted || accountLive.value);
  const text = live ? "Live" : marketLive.value ? "Account reconnecting" : "Reconnecting";
  return (
    <span class={`connection ${live ? "is-live" : "is-stale"}`} role="status" title={live ? "Numbers are live" : why.value} data-testid="connection" data-live={String(live)}>
      <i aria-hidden="true" />{text}
    </span>
  );
}

function Person() {
  if (!session.value) return <div class="person"><a class="button small" href="#/login">Log in</a><a class="button small main" href="#/register">Register</a></div>;
  return (
    <div class="person">
      {accountList.value.length > 1 && (
        <select aria-label="Account that trades" value={accountId.value} onChange={(event) => choose(event.currentTarget.value)}>
          {accountList.value.map((one) => <option key={one.accountId} value={one.accountId}>{one.name || one.accountId}{one.environment === 2 ? " · demo" : ""}</option>)}
        </select>
      )}
      {account.value?.environment === 2 && <span class="badge" title="Paper funds">Demo</span>}
      <a class="who" href="#/settings" title={session.value.email}>{session.value.name || session.value.email}</a>
      <button type="button" class="button small" onClick={() => void logOut()}>Log out</button>
    </div>
  );
}

function Toasts() {
  return (
    <div class="toasts" role="log" aria-live="polite" aria-label="What happened">
      {toasts.value.map((one) => (
        <div key={one.id} class={`toast ${one.tone}`}>
          <div><b>{one.title}</b><span>{one.text}</span></div>
          <button type="button" aria-label="Dismiss" onClick={() => dismiss(one.id)}>×</button>
        </div>
      ))}
    </div>
  );
}

const KEYS = [
  ["B / S", "buy or sell: the side of the form, and its size"],
  ["L / M", "limit or market order"],
  ["P", "price of the form"],
  ["↑ ↓", "in a number: a tick or a lot more or less; with Shift ten"],
  ["Enter", "in the form: place the order"],
  ["X", "cancel all open orders, after a question"],
  ["/", "search for a market"],
  ["T", "light or dark"],
  ["?", "this list"],
] as const;

function Help() {
  if (!helpOpen.value) return null;
  return (
    <div class="veil" onClick={() => (helpOpen.value = false)}>
      <div class="dialog" role="dialog" aria-modal="true" aria-label="Keys" onClick={(event) => event.stopPropagation()}>
        <h2>Keys</h2>
        <dl class="keys">{KEYS.map(([key, text]) => <div key={key}><dt><kbd>{key}</kbd></dt><dd>{text}</dd></div>)}</dl>
        <button type="button" class="button" ref={(node) => node?.focus()} onClick={() => (helpOpen.value = false)}>Close</button>
      </div>
    </div>
  );
}

export function Shell({ children }: { children: ComponentChildren }) {
  const [at] = path.value;
  const link = (to: string, text: string, on: boolean) => <a href={to} aria-current={on ? "page" : undefined}>{text}</a>;
  const trade = symbol.value || market.value?.symbol || "";
  return (
    <>
      <header class="top">
        <a class="brand" href="#/markets" aria-label="venue, all markets"><img src={icon} alt="" width="22" height="22" /><span>venue</span></a>
        <nav aria-label="Pages">
          {link("#/markets", "Markets", at === "markets" || at === "")}
          {link(`#/trade/${trade}`, "Trade", at === "trade")}
          {session.value && link("#/settings", "Account", at === "settings")}
        </nav>
        <Connection />
        <button type="button" class="icon" aria-label={theme.value === "dark" ? "Light colours" : "Dark colours"} title="Light or dark (T)" onClick={turn}>{theme.value === "dark" ? "☀" : "☾"}</button>
        <button type="button" class="icon keys-button" aria-label="Keys" title="Keys (?)" onClick={() => (helpOpen.value = true)}>?</button>
        <Person />
      </header>
      {children}
      <Toasts />
      <Help />
    </>
  );
}
