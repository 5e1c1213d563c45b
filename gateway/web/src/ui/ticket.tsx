// The deal ticket.
import { useRef } from "preact/hooks";
import { AccountType } from "@gen/venue/account/v1/account_pb";
import { OrderType, TimeInForce, TriggerSource } from "@gen/venue/order/v1/order_pb";
import { Side } from "@gen/venue/type/v1/type_pb";
import { account, accountsKnown, balances, openAccount, positions } from "../account";
import { failure } from "../api";
import { amount, fixed, ONE, parse, shown, times } from "../decimal";
import { bookLive, market, priceDigits, sizeDigits, ticker } from "../market";
import { isLoggedIn } from "../session";
import { accountLive } from "../stream/feed";
import { toast } from "../toasts";
import * as form from "../ticket";
import { forceName, rejection, remedy } from "../words";
import { Field, Select } from "./field";

const SHARES = [25n, 50n, 75n, 100n] as const;

function Way() {
  const one = (side: Side, text: string, tone: string) => (
    <button type="button" class={tone} aria-pressed={form.side.value === side} onClick={() => form.setSide(side)}>{text}</button>
  );
  return <div class="way" role="group" aria-label="Side">{one(Side.BUY, "Buy", "buy")}{one(Side.SELL, "Sell", "sell")}</div>;
}

function Kinds() {
  const now = form.kind.value;
  const simple = now === OrderType.LIMIT || now === OrderType.MARKET;
  return (
    <div class="kinds" role="group" aria-label="Order type">
      {([OrderType.LIMIT, OrderType.MARKET] as const).map((kind) => (
        <button key={kind} type="button" aria-pressed={now === kind} onClick={() => form.setKind(kind)}>{kind === OrderType.LIMIT ? "Limit" : "Market"}</button>
      ))}
      <label class={simple ? "more" : "more on"}>
        <span class="unseen">Other order types</span>
        <select value={simple ? "" : String(now)} onChange={(event) => {
          const found = form.KINDS.find(([kind]) => String(kind) === event.currentTarget.value);
          if (found) form.setKind(found[0]);
        }}>
          <option value="" disabled>Stop, more</option>
          {form.KINDS.slice(2).map(([kind, text]) => <option key={kind} value={String(kind)}>{text}</option>)}
        </select>
      </label>
    </div>
  );
}

/** What the order comes to, its fee, and every check that it does not pass. */
function Preview() {
  const [told, of] = [form.preview.value, market.value];
  if (!of) return null;
  const quote = of.quoteAsset;
  const spends = form.side.value === Side.BUY ? quote : of.baseAsset;
  const free = balances.value.get(spends);
  const filled = told ? told.fills.reduce((sum, fill) => sum + times(amount(fill.price), amount(fill.quantity)), 0n) : null;
  // One that waits without a limit is reckoned at its stop price.
  const at = told?.order?.price || told?.order?.stopPrice || "";
  const resting = told ? times(amount(at), amount(told.remainingQuantity)) : 0n;
  const fee = told ? amount(told.estimatedFee) : 0n;
  const cost = filled === null ? null : filled + resting;
  const total = cost === null ? null : form.side.value === Side.BUY ? cost + fee : cost - fee;
  const failed = told?.checks.filter((check) => !check.passed) ?? [];
  // What would be rejected costs nothing, which is not what it would cost.
  const priced = told !== null && failed.length === 0;
  const digits = spends === quote ? 2 : 6;
  return (
    <div class={form.previewing.value ? "preview asking" : "preview"}>
      <dl aria-live="polite">
        <div><dt>{form.side.value === Side.BUY ? "Cost" : "Proceeds"}</dt><dd data-testid="cost">{priced && total !== null ? `${fixed(total, 2)} ${quote}` : "–"}</dd></div>
        <div><dt>Fee</dt><dd data-testid="fee">{priced ? `${fixed(fee, 4)} ${quote}` : "–"}</dd></div>
        <div><dt>Average price</dt><dd>{told?.averagePrice ? fixed(amount(told.averagePrice), priceDigits.value) : "–"}</dd></div>
        <div><dt>Holds after</dt><dd>{told?.hold && amount(told.hold) ? `${fixed(amount(told.hold), told.holdAsset === quote ? 2 : 6)} ${told.holdAsset}` : "–"}</dd></div>
        <div><dt>Available</dt><dd class={accountLive.value ? "" : "dim"} title={accountLive.value ? undefined : "Not live"}>{free ? `${fixed(amount(free.available), digits)} ${spends}` : "–"}</dd></div>
        {priced && <div><dt>Checks</dt><dd class="up">all {told.checks.length} passed</dd></div>}
      </dl>
      {failed.length > 0 && (
        <ul class="checks">
          {failed.map((check) => (
            <li key={check.check}>{rejection(check.check)} <small>{remedy(check, spends, digits)}</small></li>
          ))}
        </ul>
      )}
    </div>
  );
}

/** What of the market's two assets is there, and the position in it. */
function Holdings() {
  const of = market.value;
  if (!of || !account.value) return null;
  const position = positions.value.get(of.symbol);
  const now = ticker.value?.markPrice || ticker.value?.lastPrice || "";
  const quantity = amount(position?.quantity ?? "");
  const profit = position && quantity !== 0n && now ? times(amount(now), quantity) - amount(position.cost) : 0n;
  const digits = (asset: string) => (asset === of.quoteAsset ? 2 : 6);
  return (
    <div class={`holdings${accountLive.value ? "" : " old"}`}>
      <h2>Balances <small class="dim">{account.value.name}{account.value.environment === 2 && ", paper funds"}</small></h2>
      <table>
        <thead><tr><th>Asset</th><th class="n">Available</th><th class="n">Total</th></tr></thead>
        <tbody>
          {[of.baseAsset, of.quoteAsset].map((asset) => (
            <tr key={asset}><td>{asset}</td><td class="n">{shown(balances.value.get(asset)?.available ?? "0", digits(asset))}</td><td class="n">{shown(balances.value.get(asset)?.total ?? "0", digits(asset))}</td></tr>
          ))}
        </tbody>
      </table>
      {position && quantity !== 0n && (
        <dl class="position">
          <div><dt>Position</dt><dd>{fixed(quantity, sizeDigits.value)} {of.baseAsset} at {shown(position.averagePrice, priceDigits.value)}</dd></div>
          <div><dt>Unrealized</dt><dd class={profit > 0n ? "up" : profit < 0n ? "down" : ""}>{profit > 0n ? "+" : ""}{fixed(profit, 2)} {of.quoteAsset}</dd></div>
        </dl>
      )}
    </div>
  );
}

/** In place of the button for who cannot trade yet. */
function Entrance() {
  if (!isLoggedIn.value) return <div class="entrance"><a class="button main" href="#/register">Create an account</a><a class="button" href="#/login">Log in</a></div>;
  const open = () => openAccount(AccountType.DEMO, "Demo").then(() => toast("good", "Demo account opened", "With paper funds to trade with."), (error) => toast("bad", "Not opened", failure(error).message));
  if (accountsKnown.value) return <div class="entrance"><p>A demo account comes with 100,000 USD, 10 BTC and 100 ETH of paper funds.</p><button type="button" class="button main" onClick={open}>Open a demo account</button></div>;
  return <p class="hint">Looking for your accounts …</p>;
}

const GENERAL = ["price", "stopPrice", "quantity", "quoteAmount", "trailingAmount", "trailingPercent", "displayQuantity", "expireTime", "takeProfit.stopPrice", "stopLoss.stopPrice"];

export function Ticket() {
  const sized = useRef<HTMLFormElement>(null);
  const of = market.value;
  if (!of) return <section class="panel ticket" aria-label="Order form" />;
  const errors = form.wrong.value?.fields ?? {};
  const others = Object.entries(errors).filter(([name]) => !GENERAL.includes(name)).map(([, text]) => text);
  const trading = account.value !== undefined;
  const text = form.side.value === Side.BUY ? "Buy" : "Sell";
  const last = form.kind.value === "oco" ? "oco" : form.kind.value;
  const notional = parse(form.size.value) && form.priced.value && parse(form.price.value);
  const check = (label: string, at: typeof form.postOnly, enabled = true) => (
    <label class="check"><input type="checkbox" checked={at.value && enabled} disabled={!enabled} onChange={(event) => (at.value = event.currentTarget.checked)} /><span>{label}</span></label>
  );
  return (
    <section class="panel ticket" aria-label="Order form">
      <form ref={sized} onSubmit={(event) => {
        event.preventDefault();
        if (trading) void form.place();
      }}>
        <Way />
        <Kinds />
        {form.trailing.value && (
          <div class="pair">
            <Field label="Distance" value={form.trail.value} onInput={(value) => (form.trail.value = value)} step={form.trailPercent.value ? "0.1" : of.tickSize} error={errors.trailingPercent ?? errors.trailingAmount} />
            <Select label="In" value={form.trailPercent.value ? "%" : of.quoteAsset} options={[["%", "%"], [of.quoteAsset, of.quoteAsset]]} onChange={(value) => (form.trailPercent.value = value === "%")} />
          </div>
        )}
        {form.stopped.value && <Field label={last === OrderType.TAKE_PROFIT || last === OrderType.TAKE_PROFIT_LIMIT ? "Take-profit price" : "Stop price"} name="stop" unit={of.quoteAsset} step={of.tickSize} value={form.stopPrice.value} onInput={(value) => (form.stopPrice.value = value)} error={errors.stopPrice} />}
        {form.priced.value && <Field label="Price" name="price" unit={of.quoteAsset} step={of.tickSize} value={form.price.value} onInput={form.setPrice} error={errors.price} />}
        <Field
          label={form.quoted.value ? (form.side.value === Side.BUY ? "Spend" : "Receive") : "Size"} name="size" value={form.size.value} onInput={(value) => (form.size.value = value)}
          step={form.quoted.value ? "1" : of.lotSize} error={errors.quantity ?? errors.quoteAmount}
          unit={form.kind.value === OrderType.MARKET
            ? <button type="button" class="switch" title="Change what the size is in" onClick={() => (form.byAmount.value = !form.byAmount.value)}>{form.quoted.value ? of.quoteAsset : of.baseAsset} ⇄</button>
            : of.baseAsset}
          hint={notional ? `≈ ${fixed(times(parse(form.size.value)!, parse(form.price.value)!), 2)} ${of.quoteAsset}` : undefined}
        />
        <div class="shares" role="group" aria-label="Part of what is available">
          {SHARES.map((part) => <button key={String(part)} type="button" disabled={!trading} onClick={() => form.share(part)}>{String(part)}%</button>)}
        </div>
        <div class="pair">
          <Select label="Time in force" value={form.force.value} options={form.forces.value.map((force) => [force, forceName(force)] as const)} onChange={(value) => (form.force.value = value)} />
          {form.triggered.value && <Select label="Triggered by" value={form.trigger.value} options={[[TriggerSource.LAST, "Last price"], [TriggerSource.MARK, "Mark price"], [TriggerSource.INDEX, "Index price"]]} onChange={(value) => (form.trigger.value = value)} />}
        </div>
        {form.force.value === TimeInForce.GTD && <Field label="Until" type="datetime-local" value={form.expires.value} onInput={(value) => (form.expires.value = value)} error={errors.expireTime} />}
        <div class="checks-row">
          {check("Post only", form.postOnly, form.priced.value && form.mayRest.value)}
          {check("Reduce only", form.reduceOnly, !form.quoted.value)}
          {check("Iceberg", form.iceberg, form.priced.value && form.mayRest.value && form.kind.value !== "oco")}
          {check("TP / SL", form.bracket, form.mayBracket.value)}
        </div>
        {form.iceberg.value && form.priced.value && form.mayRest.value && <Field label="Shown" small step={of.lotSize} unit={of.baseAsset} value={form.display.value} onInput={(value) => (form.display.value = value)} error={errors.displayQuantity} />}
        {form.bracket.value && form.mayBracket.value && (
          <div class="pair">
            <Field label="Take profit at" small step={of.tickSize} value={form.takeProfit.value} onInput={(value) => (form.takeProfit.value = value)} error={errors["takeProfit.stopPrice"]} />
            <Field label="Stop loss at" small step={of.tickSize} value={form.stopLoss.value} onInput={(value) => (form.stopLoss.value = value)} error={errors["stopLoss.stopPrice"]} />
          </div>
        )}
        {trading ? (
          <button type="submit" class={`button place ${form.side.value === Side.BUY ? "buy" : "sell"}`} disabled={form.placing.value}>
            {form.placing.value ? "Placing …" : `${text} ${of.baseAsset}`}
          </button>
        ) : <Entrance />}
        {others.map((words) => <p key={words} class="error" role="alert">{words}</p>)}
        {form.wrong.value && Object.keys(errors).length === 0 && <p class="error" role="alert">{form.wrong.value.message}</p>}
        {!bookLive.value && <p class="warning">Prices are not live at the moment.</p>}
        <Preview />
        <p class="fees hint">Maker {percent(of.makerFeeRate)} · taker {percent(of.takerFeeRate)}</p>
      </form>
      <Holdings />
    </section>
  );
}

const percent = (rate: string): string => `${fixed(times(amount(rate), 100n * ONE), 3).replace(/\.?0+$/, "")} %`;
