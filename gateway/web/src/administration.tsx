// The page of administration. It is served, and calls, on that port alone: to allowed addresses, with tokens that are good there.
import { signal, useSignal } from "@preact/signals";
import { createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { render, type ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import {
  AdminService, PendingActionState, UserStatus,
  type AuditEntry, type GetUserResponse, type PendingAction, type SystemStatus, type User,
} from "@gen/venue/admin/v1/admin_pb";
import { AuthService } from "@gen/venue/auth/v1/auth_pb";
import { MarketDataService, MarketState, type Market } from "@gen/venue/marketdata/v1/marketdata_pb";
import { Role } from "@gen/venue/option/v1/access_pb";
import { Environment } from "@gen/venue/type/v1/type_pb";
import { failure, requestId, surely } from "./failure";
import { describe, kindName } from "./pending";
import { KeptStream } from "./stream/line";
import { theme, turn } from "./theme";
import { dismiss, toast, toasts } from "./toasts";
import { Field, Select, Tabs } from "./ui/field";
import { Send, useDeed, Wrong } from "./ui/deed";
import { NoRows, Rows, say, useList } from "./ui/list";
import { capital, day, stateName, millis } from "./words";
import icon from "../public/icon.svg";
import "./style.css";

const EARLY_MS = 30_000;
const KEY = "venue.administration";

interface Tokens { token: string; expires: number; refresh: string; email: string; userId: string }

// Of this window alone, and gone with it.
const tokens = signal<Tokens | null>(JSON.parse(sessionStorage.getItem(KEY) ?? "null") as Tokens | null);
const keep = (next: Tokens | null): void => {
  tokens.value = next;
  if (next) sessionStorage.setItem(KEY, JSON.stringify(next));
  else sessionStorage.removeItem(KEY);
};

const transport = (interceptors: Interceptor[]) => createGrpcWebTransport({ baseUrl: location.origin, useBinaryFormat: true, interceptors });
const open = transport([]);
const auth = createClient(AuthService, open);
const marketData = createClient(MarketDataService, open);
const buying = createClient(AdminService, open);

async function buy(access: string, refresh: string, email: string, userId: string): Promise<Tokens> {
  const bought = await buying.createAdminToken({}, { headers: { authorization: `Bearer ${access}` } });
  const next = { token: bought.accessToken, expires: Date.now() + bought.expiresIn * 1000, refresh, email, userId };
  keep(next);
  return next;
}

let renewing: Promise<Tokens> | null = null;
async function renewed(now: Tokens): Promise<Tokens> {
  renewing ??= auth.refresh({ refreshToken: now.refresh })
    .then((fresh) => buy(fresh.accessToken, fresh.refreshToken, now.email, now.userId))
    .finally(() => (renewing = null));
  try {
    return await renewing;
  } catch (error) {
    // A token is bought with a fresh authentication only: after a quarter of an hour somebody says again who he is.
    if (failure(error).reason) {
      keep(null);
      toast("plain", "Log in again", "An administrator is asked anew every fifteen minutes.");
    }
    throw error;
  }
}

const admin = createClient(AdminService, transport([
  (next) => async (request) => {
    let now = tokens.peek();
    if (now && now.expires - EARLY_MS < Date.now()) now = await renewed(now);
    if (now) request.header.set("authorization", `Bearer ${now.token}`);
    return next(request);
  },
]));

const status = signal<SystemStatus | null>(null);
/** The one before, for what comes in a second. */
const before = signal<SystemStatus | null>(null);
const live = signal(false);
const tail = signal<AuditEntry[]>([]);

type Part = "system" | "users" | "markets" | "pending" | "audit";
const part = signal<Part>("system");

/** A deed that wants a reason. */
const asked = signal<{ title: string; lead: string; run: (reason: string) => Promise<string>; optional: boolean; from: HTMLElement | null } | null>(null);
const ask = (title: string, lead: string, run: (reason: string) => Promise<string>, optional = false): void => void (asked.value = { title, lead, run, optional, from: document.activeElement as HTMLElement | null });

/** Each question is a new one: nothing typed or refused before is in it. Whoever was at a button is there again afterwards. */
function Question({ now }: { now: NonNullable<typeof asked.value> }) {
  const reason = useSignal("");
  const deed = useDeed();
  const close = (): void => void (asked.value = null);
  useEffect(() => {
    const pressed = (event: KeyboardEvent): void => void (event.key === "Escape" && close());
    addEventListener("keydown", pressed);
    return () => {
      removeEventListener("keydown", pressed);
      // What lay behind it takes the keys from the next frame on.
      requestAnimationFrame(() => now.from?.focus());
    };
  }, []);
  const send = deed.run(async () => {
    toast("good", now.title, await now.run(reason.value.trim()));
    close();
  });
  return (
    <div class="veil">
      <div class="dialog" role="dialog" aria-modal="true" aria-label={now.title}>
        <h2>{now.title}</h2><p class="dim">{now.lead}</p>
        <form onSubmit={send} noValidate>
          <Field label={now.optional ? "What there is to say to it" : "Why"} name="reason" value={reason.value} onInput={(value) => (reason.value = value)} error={deed.errors.reason} autoFocus />
          <Wrong deed={deed} />
          <Send deed={deed} text="Do it" />
          <button type="button" class="button" onClick={close}>Leave it</button>
        </form>
      </div>
    </div>
  );
}

const Asked = () => asked.value && <Question now={asked.value} />;

const proposed = (action: PendingAction | undefined): string => (action ? "Proposed: another administrator approves it." : "Done.");

/** How often something came in a second, between the last two frames. */
function rate(count: (of: SystemStatus) => bigint): string {
  const [now, last] = [status.value, before.value];
  if (!now || !last) return "–";
  const [passed, more] = [millis(now.time) - millis(last.time), Number(count(now) - count(last))];
  return passed > 0 && more >= 0 ? `${((more * 1000) / passed).toFixed(1)} / s` : "–";
}

const calls = (of: SystemStatus): bigint => of.processes.reduce((all, one) => all + one.calls, 0n);
const commands = (of: SystemStatus): bigint => of.partitions.reduce((all, one) => all + one.lastSequence, 0n);

function System() {
  const now = status.value;
  if (!now) return <p class="empty">Asking how the venue is …</p>;
  const figure = (label: string, value: ComponentChildren, bad = false) => <div class="figure"><dt>{label}</dt><dd class={bad ? "down" : ""}>{value}</dd></div>;
  const sum = (pick: (one: SystemStatus["processes"][number]) => bigint) => now.processes.reduce((all, one) => all + pick(one), 0n);
  const lag = now.processes.reduce((most, one) => (one.loopLagUs > most ? one.loopLagUs : most), 0n);
  const behind = now.partitions.flatMap((one) => one.readers).reduce((most, one) => (one.behind > most ? one.behind : most), 0n);
  const halted = now.partitions.filter((one) => one.haltedReason || !one.led);
  return (
    <div class={`panel live${live.value ? "" : " stale"}`}>
      <dl class="figures">
        {figure("Partitions led", `${now.partitions.length - halted.length} of ${now.partitions.length}`, halted.length > 0)}
        {figure("Commands", rate(commands))}
        {figure("Commands queued", String(now.partitions.reduce((all, one) => all + one.queued, 0n)))}
        {figure("Furthest behind", `${behind} commands`)}
        {figure("Calls", <>{rate(calls)} <small class="dim">{String(calls(now))} in all</small></>)}
        {figure("Open streams", String(sum((one) => one.streamsOpen)))}
        {figure("Faults", String(sum((one) => one.faults)), sum((one) => one.faults) > 0n)}
        {figure("Slowest loop", `${(Number(lag) / 1000).toFixed(1)} ms`)}
        {figure("Waiting for approval", String(now.actionsProposed))}
      </dl>
      <h2>Partitions</h2>
      <Rows label="Partitions" head={["Partition", "World", "Leader", "Epoch", "Last command", "Queued", "Readers", "State"]} numbers={["Epoch", "Last command", "Queued"]}>
        {now.partitions.map((one) => (
          <tr key={one.partition}><td>{one.partition}</td><td>{Environment[one.environment]}</td><td>{one.leader} <small class="dim">{one.leaderAddress}</small></td><td class="n">{String(one.epoch)}</td><td class="n">{String(one.lastSequence)}</td><td class="n">{String(one.queued)}</td>
            <td>{one.readers.map((reader) => `${reader.reader}: ${reader.behind} behind`).join(" · ")}</td><td>{one.haltedReason ? <span class="badge bad">{one.haltedReason}</span> : one.led ? <span class="badge good">led</span> : <span class="badge warn">nobody leads</span>}</td></tr>
        ))}
      </Rows>
      <h2>Processes</h2>
      <Rows label="Processes" head={["Process", "Answers", "Streams", "Calls", "Faults", "Loop lag"]} numbers={["Streams", "Calls", "Faults", "Loop lag"]}>
        {now.processes.map((one) => <tr key={one.process}><td>{one.process}</td><td>{one.answering ? <span class="badge good">yes</span> : <span class="badge bad">no</span>}</td><td class="n">{String(one.streamsOpen)}</td><td class="n">{String(one.calls)}</td><td class={one.faults ? "n down" : "n"}>{String(one.faults)}</td><td class="n">{(Number(one.loopLagUs) / 1000).toFixed(1)} ms</td></tr>)}
      </Rows>
    </div>
  );
}

function Users() {
  const [search, one] = [useSignal(""), useSignal<GetUserResponse | null>(null)];
  const list = useList(async () => (await admin.listUsers({ query: search.value.trim() })).users);
  const look = (user: User) => admin.getUser({ userId: user.userId }).then((answer) => (one.value = answer), say);
  useEffect(() => void list.load(), []);
  const again = (user: User) => {
    void list.load();
    if (one.value?.user?.userId === user.userId) void look(user);
  };
  const freeze = (user: User, cancelOrders: boolean) => ask(`Freeze ${user.email}`, cancelOrders ? "Sessions end at once, and open orders are cancelled." : "Sessions end at once; open orders stay.", async (reason) => {
    const answer = await admin.freezeUser({ userId: user.userId, reason, cancelOrders });
    again(user);
    return `${answer.sessionsEnded} sessions ended, orders of ${answer.accountsCancelled} accounts cancelled.`;
  });
  const unfreeze = (user: User) => ask(`Unfreeze ${user.email}`, "Another administrator has to approve.", async (reason) => proposed((await admin.unfreezeUser({ userId: user.userId, reason, requestId: requestId() })).pendingAction));
  const role = (user: User, next: Role) => ask(`Make ${user.email} ${Role[next]!.toLowerCase()}`, "Another administrator has to approve.", async (reason) => proposed((await admin.setUserRole({ userId: user.userId, role: next, reason, requestId: requestId() })).pendingAction));
  const end = (user: User) => ask(`End the sessions of ${user.email}`, "Tokens and streams end within 5 s.", async (reason) => {
    const answer = await admin.revokeUserSessions({ userId: user.userId, reason });
    again(user);
    return `${answer.sessionsEnded} ended.`;
  });
  const unlock = (user: User) => ask(`Unlock ${user.email}`, "The wrong passwords that were tried are forgotten.", async (reason) => {
    await admin.unlockUser({ userId: user.userId, reason });
    return "The next log-in does not wait.";
  });
  const roles = [Role.USER, Role.SUPPORT, Role.COMPLIANCE, Role.ADMIN].map((value) => [value, capital(Role[value]!.toLowerCase())] as const);
  const user = one.value?.user;
  return (
    <>
      <form class="row" onSubmit={(event) => {
        event.preventDefault();
        void list.load();
      }}><Field label="E-mail, id or name" value={search.value} onInput={(value) => (search.value = value)} /><button type="submit" class="button">Search</button></form>
      <section class="panel" aria-label="Users">
        <Rows label="Users" head={["E-mail", "Name", "Role", "Status", "Registered", "Do"]}>
          {list.items?.map((found) => (
            <tr key={found.userId}><td><button type="button" class="link" onClick={() => void look(found)}>{found.email}</button></td><td>{found.displayName}</td><td>{Role[found.role]}</td>
              <td>{found.status === UserStatus.FROZEN ? <span class="badge bad">frozen</span> : <span class="badge good">active</span>}</td><td>{day(found.createTime)}</td>
              <td>{found.status === UserStatus.FROZEN ? <button type="button" class="link" onClick={() => unfreeze(found)}>Unfreeze</button> : <button type="button" class="cancel" onClick={() => freeze(found, false)}>Freeze</button>}</td></tr>
          ))}
          <NoRows of={list} columns={6} text="Nobody of that name." />
        </Rows>
      </section>
      {user && (
        <section class="card" aria-label={user.email}>
          <h2>{user.email} <small class="dim">{user.userId}</small></h2>
          <div class="row-actions">
            <Select label="Role" bare value={user.role} options={roles} onChange={(next) => next !== user.role && role(user, next)} />
            <button type="button" class="button small" onClick={() => end(user)}>End sessions</button>
            <button type="button" class="button small" onClick={() => unlock(user)}>Unlock</button>
            {user.status === UserStatus.FROZEN ? <button type="button" class="button small" onClick={() => unfreeze(user)}>Unfreeze</button> : <button type="button" class="button small bad" onClick={() => freeze(user, true)}>Freeze and cancel orders</button>}
          </div>
          <Rows label="Accounts" head={["Account", "Name", "World", "Tier", "Self-trade group", "Opened"]}>{one.value!.accounts.map((each) => <tr key={each.accountId}><td><code>{each.accountId}</code></td><td>{each.name}</td><td>{Environment[each.environment]}</td><td>{each.tier}</td><td>{each.selfTradeGroup === each.accountId ? <span class="dim">its own</span> : each.selfTradeGroup}</td><td>{day(each.createTime)}</td></tr>)}</Rows>
          <Rows label="Sessions" head={["Session", "Address", "Opened", "Ends"]}>{one.value!.sessions.map((each) => <tr key={each.sessionId}><td><code>{each.sessionId}</code></td><td>{each.address}</td><td>{day(each.createTime)}</td><td>{day(each.expireTime)}</td></tr>)}</Rows>
        </section>
      )}
    </>
  );
}

const STATES = [MarketState.OPEN, MarketState.HALTED, MarketState.CANCEL_ONLY, MarketState.POST_ONLY, MarketState.PRE_OPEN, MarketState.CLOSED] as const;
const AT_ONCE: readonly MarketState[] = [MarketState.CANCEL_ONLY, MarketState.POST_ONLY, MarketState.PRE_OPEN];

function Markets() {
  const world = useSignal<Environment>(Environment.DEMO);
  const list = useList(async () => (await marketData.listMarkets({ environment: world.value, pageSize: 500 })).markets);
  useEffect(() => void list.load(), [world.value]);
  const set = (market: Market, state: MarketState) => ask(`Take ${market.symbol} to ${stateName(state).toLowerCase()}`, AT_ONCE.includes(state) ? "It holds at once." : "Another administrator has to approve.", async (reason) => {
    const answer = await admin.setMarketState({ environment: market.environment, symbol: market.symbol, state, reason, requestId: requestId() });
    setTimeout(() => void list.load(), 500);
    return proposed(answer.pendingAction);
  });
  return (
    <>
      <div class="row-actions"><Select label="World" value={world.value} options={[[Environment.DEMO, "Demo"], [Environment.LIVE, "Live"]]} onChange={(value) => (world.value = value)} /></div>
      <section class="panel" aria-label="Markets">
        <Rows label="Markets" head={["Market", "State", "Tick", "Lot", "Set"]} numbers={["Tick", "Lot"]}>
          {list.items?.map((market) => (
            <tr key={market.symbol}><td><b>{market.symbol}</b></td><td>{market.state === MarketState.OPEN ? <span class="badge good">Open</span> : <span class="badge warn">{stateName(market.state)}</span>}</td><td class="n">{market.tickSize}</td><td class="n">{market.lotSize}</td>
              <td><div class="row-actions">{market.state === MarketState.OPEN ? <button type="button" class="cancel" onClick={() => set(market, MarketState.HALTED)}>Halt</button> : <button type="button" class="link" onClick={() => set(market, MarketState.OPEN)}>Resume</button>}
                <Select label={`State of ${market.symbol}`} bare value={market.state} options={[[market.state, "other …"] as const, ...STATES.filter((state) => state !== market.state).map((state) => [state, stateName(state)] as const)]} onChange={(state) => set(market, state)} /></div></td></tr>
          ))}
          <NoRows of={list} columns={5} text="No markets." />
        </Rows>
      </section>
    </>
  );
}

function Pending() {
  const list = useList(async () => (await admin.listPendingActions({})).pendingActions);
  const waiting = status.value?.actionsProposed;
  useEffect(() => void list.load(), [waiting]);
  const own = (action: PendingAction) => action.proposerUserId === tokens.value?.userId;
  const decide = (action: PendingAction, yes: boolean) => ask(yes ? "Approve" : "Reject", describe(action), async (reason) => {
    const call = { pendingActionId: action.pendingActionId, reason };
    // Repeating a decision answers the same.
    const { pendingAction } = await surely(async () => (yes ? admin.approvePendingAction(call) : admin.rejectPendingAction(call)));
    void list.load();
    return `It is ${PendingActionState[pendingAction!.state]!.toLowerCase()}${pendingAction!.failureReason ? `: ${pendingAction!.failureReason}` : ""}.`;
  }, yes);
  return (
    <section class="panel" aria-label="Pending actions">
      <Rows label="Pending actions" head={["What", "Why", "Proposed by", "When", "State", "Do"]}>
        {list.items?.map((action) => (
          <tr key={action.pendingActionId}><td><b>{kindName(action)}</b><br /><small class="dim">{describe(action)}</small></td><td>{action.reason}</td><td>{own(action) ? <>you <small class="dim">another approves</small></> : <code>{action.proposerUserId}</code>}</td><td>{day(action.createTime)}</td>
            <td>{capital(PendingActionState[action.state]!.toLowerCase())} {action.failureReason && <span class="down">{action.failureReason}</span>}</td>
            <td>{action.state === PendingActionState.PROPOSED && <>{!own(action) && <button type="button" class="link" onClick={() => decide(action, true)}>Approve</button>} <button type="button" class="cancel" onClick={() => decide(action, false)}>Reject</button></>}</td></tr>
        ))}
        <NoRows of={list} columns={6} text="Nothing was ever proposed." />
      </Rows>
    </section>
  );
}

function Audit() {
  const [list, next] = [useSignal<AuditEntry[] | null>(null), useSignal("")];
  const [actor, action, outcome] = [useSignal(""), useSignal(""), useSignal("")];
  const deed = useDeed();
  const load = async (more: boolean) => {
    const answer = await admin.listAuditEntries({ actor: actor.value.trim(), action: action.value.trim(), outcome: outcome.value.trim(), pageSize: 100, pageToken: more ? next.value : "" });
    list.value = more ? [...(list.value ?? []), ...answer.entries] : answer.entries;
    next.value = answer.nextPageToken;
  };
  useEffect(() => void load(false).catch(say), []);
  const filtered = actor.value || action.value || outcome.value;
  const there = list.value ?? [];
  const first = there[0]?.sequence ?? 0n;
  const all = filtered ? there : [...tail.value.filter((one) => one.sequence > first), ...there];
  return (
    <>
      <form class="row" onSubmit={deed.run(() => load(false))}>
        <Field label="Who" value={actor.value} onInput={(value) => (actor.value = value)} error={deed.errors.actor} />
        <Field label="Action" placeholder="USER_FREEZE" value={action.value} onInput={(value) => (action.value = value)} error={deed.errors.action} />
        <Field label="Outcome" placeholder="OK" value={outcome.value} onInput={(value) => (outcome.value = value)} error={deed.errors.outcome} />
        <button type="submit" class="button">Search</button>
      </form>
      <section class="panel" aria-label="Audit log">
        <Rows label="Audit log" head={["No", "Time", "Who", "Action", "Object", "Outcome", "From"]}>
          {all.map((one) => <tr key={String(one.sequence)}><td>{String(one.sequence)}</td><td>{day(one.time)}</td><td>{capital(one.actorKind.toLowerCase())} <code class="dim">{one.actor}</code></td><td>{one.action}</td><td><code title={`${one.before} → ${one.after}`}>{one.object}</code></td><td><span class={one.outcome === "OK" ? "up" : "down"}>{one.outcome}</span></td><td>{one.address}</td></tr>)}
          {list.value && !all.length && <tr><td colSpan={7} class="empty">No entry of that kind.</td></tr>}
        </Rows>
        {next.value && <button type="button" class="button" onClick={() => void load(true).catch(say)}>More</button>}
      </section>
    </>
  );
}

function LogIn() {
  const [email, password, code, factor] = [useSignal(""), useSignal(""), useSignal(""), useSignal(false)];
  const deed = useDeed();
  const send = deed.run(async () => {
    try {
      const answer = await auth.login({ email: email.value.trim(), password: password.value, totpCode: code.value.replace(/\s/g, "") });
      await buy(answer.accessToken, answer.refreshToken, answer.user?.email ?? "", answer.user?.userId ?? "");
    } catch (error) {
      if (/^TOTP/.test(failure(error).reason)) factor.value = true;
      throw error;
    }
  });
  return (
    <main class="page narrow"><section class="card" aria-label="Log in"><h1>Administration</h1><p class="dim">For the venue's people. Whatever is done here stands in the audit log.</p>
      <form onSubmit={send} noValidate>
        <Field label="E-mail" name="email" type="email" autoComplete="username" value={email.value} onInput={(value) => (email.value = value)} error={deed.errors.email} autoFocus />
        <Field label="Password" name="password" type="password" autoComplete="current-password" value={password.value} onInput={(value) => (password.value = value)} error={deed.errors.password} />
        {factor.value && <Field label="Code of your authenticator" name="totp" autoComplete="one-time-code" value={code.value} onInput={(value) => (code.value = value)} error={deed.errors.totpCode} />}
        <Wrong deed={deed} except={["TOTP_REQUIRED"]} />
        <Send deed={deed} text="Log in" />
      </form></section></main>
  );
}

const PARTS: Record<Part, () => preact.JSX.Element> = { system: System, users: Users, markets: Markets, pending: Pending, audit: Audit };

function Desk() {
  useEffect(() => {
    const watched = new KeptStream({
      open: (resumeAfter, signal) => admin.streamSystem({ resumeAfter }, { signal }),
      told: ({ frame }) => {
        if (frame.case === "status") {
          before.value = status.peek();
          status.value = frame.value;
        }
        if (frame.case === "entry") tail.value = [frame.value, ...tail.value].slice(0, 200);
      },
      changed: (now) => (live.value = now),
      renewed: () => (tokens.peek() ? renewed(tokens.peek()!).then(() => true, () => false) : Promise.resolve(false)),
    });
    return () => watched.end();
  }, []);
  const View = PARTS[part.value];
  const waiting = status.value?.actionsProposed ?? 0;
  return (
    <main class="page desk" inert={asked.value !== null}>
      <h1 class="unseen">Administration</h1>
      <Tabs label="Administration" value={part.value} onChange={(next) => (part.value = next)}
        tabs={[["system", "System"], ["users", "Users"], ["markets", "Markets"], ["pending", <>Pending {waiting > 0 && <span class="count">{waiting}</span>}</>], ["audit", "Audit log"]]} />
      <View />
    </main>
  );
}

function Page() {
  return (
    <>
      <header class="top" inert={asked.value !== null}>
        <span class="brand"><img src={icon} alt="" width="22" height="22" /><span>venue</span></span><span class="badge warn">administration</span><nav />
        {tokens.value && <span class={`connection ${live.value ? "is-live" : "is-stale"}`} role="status"><i aria-hidden="true" />{live.value ? "Live" : "Reconnecting"}</span>}
        <button type="button" class="icon" aria-label={theme.value === "dark" ? "Light colours" : "Dark colours"} onClick={turn}>{theme.value === "dark" ? "☀" : "☾"}</button>
        {tokens.value && <div class="person"><span class="who">{tokens.value.email}</span><button type="button" class="button small" onClick={() => keep(null)}>Log out</button></div>}
      </header>
      {tokens.value ? <Desk /> : <LogIn />}
      <Asked />
      <div class="toasts" role="log" aria-live="polite" aria-label="What happened">{toasts.value.map((one) => <div key={one.id} class={`toast ${one.tone}`}><div><b>{one.title}</b><span>{one.text}</span></div><button type="button" aria-label="Dismiss" onClick={() => dismiss(one.id)}>×</button></div>)}</div>
    </>
  );
}

render(<Page />, document.getElementById("app")!);
