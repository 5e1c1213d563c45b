// One's own access: second factor, password, sessions, API keys, accounts.
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { renderSVG } from "uqr";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { AccountType } from "@gen/venue/account/v1/account_pb";
import type { ApiKey, CreateApiKeyResponse, EnrollTotpResponse, Session, WhoAmIResponse } from "@gen/venue/auth/v1/auth_pb";
import { Scope } from "@gen/venue/option/v1/access_pb";
import { accountList, openAccount } from "../account";
import { auth, failure } from "../api";
import { go } from "../route";
import { isLoggedIn, keep, session } from "../session";
import { toast } from "../toasts";
import { Field, Select } from "../ui/field";
import { freshly, StepUp } from "../ui/stepup";
import { day, moment } from "../words";
import { Send, useDeed, Wrong } from "../ui/deed";

const SCOPES = [[Scope.READ, "Read"], [Scope.TRADE, "Trade"], [Scope.WITHDRAW, "Withdraw"]] as const;

const Part = ({ title, lead, children }: { title: string; lead?: ComponentChildren; children: ComponentChildren }) => (
  <section class="card" aria-label={title}><h2>{title}</h2>{lead && <p class="dim">{lead}</p>}{children}</section>
);

/** The image of a QR code; as an address, since the page's policy lets no markup in. */
const picture = (text: string): string => `data:image/svg+xml;utf8,${encodeURIComponent(renderSVG(text, { border: 2 }))}`;

function Factor({ who, changed }: { who: WhoAmIResponse; changed: () => void }) {
  const enrolling = useSignal<EnrollTotpResponse | null>(null);
  const code = useSignal("");
  const deed = useDeed();
  const begin = deed.run(async () => {
    enrolling.value = await freshly(() => auth.enrollTotp({}));
  });
  const confirm = deed.run(async () => {
    await auth.confirmTotp({ code: code.value.replace(/\s/g, "") });
    enrolling.value = null;
    toast("good", "Second factor", "Log-ins ask for its code from now on.");
    changed();
  });
  const disable = deed.run(async () => {
    await freshly(() => auth.disableTotp({}));
    toast("plain", "Second factor", "It is gone.");
    changed();
  });
  if (enrolling.value) {
    const { secret, otpauthUri, recoveryCodes } = enrolling.value;
    return (
      <Part title="Second factor" lead="Scan this with an authenticator, then type its code. Keep the recovery codes somewhere safe: they are shown this once.">
        <div class="enroll">
          <img class="qr" src={picture(otpauthUri)} alt="QR code for an authenticator" width="188" height="188" />
          <div><p class="dim">Or type the secret:</p><code class="secret">{secret}</code><p class="dim">Recovery codes</p><ul class="codes">{recoveryCodes.map((one) => <li key={one}><code>{one}</code></li>)}</ul></div>
        </div>
        <form class="row" onSubmit={confirm} noValidate>
          <Field label="Code" hint="Six digits" name="code" inputMode="numeric" autoComplete="one-time-code" value={code.value} onInput={(value) => (code.value = value)} error={deed.errors.code ?? (deed.failed?.reason === "TOTP_INVALID" ? deed.failed.message : undefined)} />
          <Send deed={deed} text="Confirm" />
        </form>
        <Wrong deed={deed} except={["TOTP_INVALID"]} />
      </Part>
    );
  }
  return (
    <Part title="Second factor" lead={who.secondFactor ? "Enrolled: log-ins ask for its code." : "Not enrolled. A code of an authenticator protects your account beside the password."}>
      {who.secondFactor
        ? <form onSubmit={disable}><button type="submit" class="button bad" disabled={deed.busy}>Remove it</button></form>
        : <form onSubmit={begin}><Send deed={deed} text="Enroll" /></form>}
      <Wrong deed={deed} except={["STEP_UP_REQUIRED"]} />
    </Part>
  );
}

function Password() {
  const [current, next] = [useSignal(""), useSignal("")];
  const deed = useDeed();
  const send = deed.run(async () => {
    await freshly(() => auth.changePassword({ currentPassword: current.value, newPassword: next.value }));
    current.value = next.value = "";
    toast("good", "Password changed", "Every other session has ended.");
  });
  return (
    <Part title="Password">
      <form onSubmit={send} noValidate>
        <Field label="Current password" type="password" autoComplete="current-password" value={current.value} onInput={(value) => (current.value = value)} error={deed.errors.currentPassword ?? (deed.failed?.reason === "PASSWORD_WRONG" ? deed.failed.message : undefined)} />
        <Field label="New password" type="password" autoComplete="new-password" value={next.value} onInput={(value) => (next.value = value)} error={deed.errors.newPassword} />
        <Wrong deed={deed} except={["STEP_UP_REQUIRED", "PASSWORD_WRONG"]} />
        <Send deed={deed} text="Change it" />
      </form>
    </Part>
  );
}

/** A browser in two words, another program as it calls itself. */
function program(agent: string): string {
  const browser = /(Edg|OPR|Firefox|Chrome)\/(\d+)/.exec(agent) ?? /Version\/(\d+)\S* .*(Safari)/.exec(agent);
  const system = /Windows|Android|iPhone|iPad|Mac OS X|Linux/.exec(agent);
  if (!browser || !system) return agent || "unknown";
  const names: Record<string, string> = { Edg: "Edge", OPR: "Opera" };
  const [name, version] = browser[2] === "Safari" ? ["Safari", browser[1]] : [names[browser[1]!] ?? browser[1], browser[2]];
  return `${name} ${version}, ${system[0]}`;
}

function Sessions() {
  const list = useSignal<Session[] | null>(null);
  const load = () => auth.listSessions({}).then((answer) => (list.value = answer.sessions), (error: unknown) => toast("bad", "Sessions", failure(error).message));
  useEffect(() => void load(), []);
  const end = async (one: Session) => {
    await auth.revokeSession({ sessionId: one.sessionId }).catch((error: unknown) => toast("bad", "Not ended", failure(error).message));
    if (one.current) {
      keep(null);
      go("login");
    } else void load();
  };
  return (
    <Part title="Sessions">
      <div class="scroll" tabIndex={0} role="region" aria-label="Open sessions"><table>
        <thead><tr><th>Program</th><th>Address</th><th class="wide">Opened</th><th>Last used</th><th><span class="unseen">Do</span></th></tr></thead>
        <tbody>{list.value?.map((one) => <tr key={one.sessionId}><td class="cut" title={one.userAgent}>{program(one.userAgent)} {one.current && <span class="badge good">this one</span>}</td><td>{one.address}</td><td class="wide">{day(one.createTime)}</td><td>{moment(one.lastUsedTime)}</td><td class="n"><button type="button" class="cancel" onClick={() => void end(one)}>End</button></td></tr>)}</tbody>
      </table></div>
    </Part>
  );
}

function Keys() {
  const list = useSignal<ApiKey[] | null>(null);
  const made = useSignal<CreateApiKeyResponse | null>(null);
  const [name, addresses, ends, bound] = [useSignal(""), useSignal(""), useSignal(""), useSignal("")];
  const scopes = useSignal<Scope[]>([Scope.READ]);
  const deed = useDeed();
  const load = () => auth.listApiKeys({}).then((answer) => (list.value = answer.apiKeys), (error: unknown) => toast("bad", "API keys", failure(error).message));
  useEffect(() => void load(), []);
  const create = deed.run(async () => {
    const until = Date.parse(ends.value);
    const request = { name: name.value.trim(), scopes: scopes.value, accountId: bound.value, ipAllowlist: addresses.value.split(/[\s,]+/).filter(Boolean), ...(Number.isNaN(until) ? {} : { expireTime: timestampFromMs(until) }) };
    made.value = await freshly(() => auth.createApiKey(request));
    name.value = addresses.value = ends.value = "";
    await load();
  });
  const revoke = async (one: ApiKey) => {
    await auth.revokeApiKey({ apiKeyId: one.apiKeyId }).catch((error: unknown) => toast("bad", "Not revoked", failure(error).message));
    void load();
  };
  return (
    <Part title="API keys" lead="For programs: sent as x-api-key over REST, gRPC and gRPC-web.">
      {made.value && <div class="shown" role="status"><p><b>{made.value.apiKey?.name}</b>: copy it now, it is shown this once.</p><code class="secret">{made.value.apiKey?.apiKeyId}.{made.value.secret}</code></div>}
      <form onSubmit={create} noValidate>
        <div class="fields">
          <Field label="Name" name="key-name" value={name.value} onInput={(value) => (name.value = value)} error={deed.errors.name} />
          <Select label="Account" value={bound.value} options={[["", "All accounts"], ...accountList.value.map((one) => [one.accountId, one.name || one.accountId] as const)]} onChange={(value) => (bound.value = value)} />
          <Field label="Networks" value={addresses.value} onInput={(value) => (addresses.value = value)} error={deed.errors.ipAllowlist} hint="203.0.113.7, 2001:db8::/48; none: from anywhere" />
          <Field label="Ends" type="datetime-local" value={ends.value} onInput={(value) => (ends.value = value)} error={deed.errors.expireTime} hint="None: never" />
        </div>
        <div class="checks-row three" role="group" aria-label="Good for">{SCOPES.map(([scope, text]) => (
          <label key={scope} class="check"><input type="checkbox" checked={scopes.value.includes(scope)} onChange={(event) => (scopes.value = event.currentTarget.checked ? [...scopes.value, scope] : scopes.value.filter((one) => one !== scope))} /><span>{text}</span></label>
        ))}</div>
        {deed.errors.scopes && <p class="error" role="alert">{deed.errors.scopes}</p>}
        <Wrong deed={deed} except={["STEP_UP_REQUIRED"]} />
        <Send deed={deed} text="Make a key" />
      </form>
      {list.value && list.value.length > 0 && <div class="scroll" tabIndex={0} role="region" aria-label="Keys in use"><table>
        <thead><tr><th>Name</th><th>Key</th><th>Good for</th><th>Last used</th><th>Ends</th><th><span class="unseen">Do</span></th></tr></thead>
        <tbody>{list.value.map((one) => <tr key={one.apiKeyId}><td>{one.name}</td><td><code>{one.apiKeyId}</code></td><td>{one.scopes.map((scope) => Scope[scope]?.toLowerCase()).join(", ")}</td><td>{day(one.lastUseTime)}</td><td>{day(one.expireTime)}</td><td class="n"><button type="button" class="cancel" onClick={() => void revoke(one)}>Revoke</button></td></tr>)}</tbody>
      </table></div>}
    </Part>
  );
}

function Accounts() {
  const name = useSignal("");
  const type = useSignal<AccountType>(AccountType.DEMO);
  const deed = useDeed();
  const send = deed.run(async () => {
    await openAccount(type.value, name.value.trim());
    name.value = "";
  });
  return (
    <Part title="Accounts">
      {accountList.value.length === 0 && <p class="dim">None yet. One with paper funds takes a name and a press.</p>}
      <ul class="list">{accountList.value.map((one) => <li key={one.accountId}><b>{one.name || one.accountId}</b> <span class="badge">{one.type === AccountType.DEMO ? "Demo" : "Trading"}</span> <code class="dim">{one.accountId}</code></li>)}</ul>
      <form class="row" onSubmit={send} noValidate>
        <Field label="Name of a new one" value={name.value} onInput={(value) => (name.value = value)} error={deed.errors.name} />
        <Select label="For" value={type.value} options={[[AccountType.DEMO, "Paper funds"], [AccountType.TRADING, "Real funds"]]} onChange={(value) => (type.value = value)} />
        <Send deed={deed} text="Open" />
      </form>
      <Wrong deed={deed} />
    </Part>
  );
}

export function Settings() {
  const who = useSignal<WhoAmIResponse | null>(null);
  const load = () => auth.whoAmI({}).then((answer) => (who.value = answer), (error: unknown) => toast("bad", "Account", failure(error).message));
  useEffect(() => {
    if (isLoggedIn.value) void load();
    else go("login?next=settings");
  }, [isLoggedIn.value]);
  return (
    <main class="page settings">
      <div class="title"><div><h1>{session.value?.name || "Account"}</h1><p class="dim">{session.value?.email} {who.value && (who.value.user?.emailVerified ? <span class="badge good">verified</span> : <a href="#/verify">not verified</a>)}</p></div></div>
      <div class="cards">
        <div class="stack">
          <Accounts />
          {who.value && <Factor who={who.value} changed={() => void load()} />}
        </div>
        <Password />
        <Keys />
        <Sessions />
      </div>
      <StepUp />
    </main>
  );
}
