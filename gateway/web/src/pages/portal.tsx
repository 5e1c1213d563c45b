// Coming in: register, verify, log in with a second factor, set a new password, and sign on for another program.
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { auth, failure } from "../api";
import { go, path, query } from "../route";
import { granted, isLoggedIn, session } from "../session";
import { toast } from "../toasts";
import { Send, useDeed, Wrong } from "../ui/deed";
import { Field } from "../ui/field";

function Card({ title, lead, children }: { title: string; lead?: ComponentChildren; children: ComponentChildren }) {
  return <main class="page narrow"><section class="card" aria-label={title}><h1>{title}</h1>{lead && <p class="dim">{lead}</p>}{children}</section></main>;
}

/** Where somebody was going when asked to log in. */
const onward = (): string => query.peek().get("next") ?? "trade/";

function Login() {
  const [email, password, code] = [useSignal(""), useSignal(""), useSignal("")];
  const factor = useSignal(false);
  const deed = useDeed();
  const send = deed.run(async () => {
    try {
      granted(await auth.login({ email: email.value.trim(), password: password.value, totpCode: code.value.replace(/\s/g, "") }));
    } catch (error) {
      const { reason } = failure(error);
      if (reason === "TOTP_REQUIRED" || reason === "TOTP_INVALID") factor.value = true;
      throw error;
    }
    go(onward());
  });
  return (
    <Card title="Log in">
      <form onSubmit={send} noValidate>
        <Field label="E-mail" name="email" type="email" autoComplete="username" value={email.value} onInput={(value) => (email.value = value)} error={deed.errors.email} autoFocus />
        <Field label="Password" name="password" type="password" autoComplete="current-password" value={password.value} onInput={(value) => (password.value = value)} error={deed.errors.password} />
        {factor.value && <Field label="Code of your authenticator, or a recovery code" name="totp" inputMode="text" autoComplete="one-time-code" value={code.value} onInput={(value) => (code.value = value)} error={deed.errors.totpCode ?? (deed.failed?.reason === "TOTP_INVALID" ? deed.failed.message : undefined)} autoFocus />}
        <Wrong deed={deed} except={["TOTP_REQUIRED", "TOTP_INVALID"]} />
        <Send deed={deed} text="Log in" />
      </form>
      <p class="aside"><a href="#/forgot">Forgot the password?</a><span>New here? <a href="#/register">Register</a></span></p>
    </Card>
  );
}

function Register() {
  const [email, name, password] = [useSignal(""), useSignal(""), useSignal("")];
  const deed = useDeed();
  const said = useSignal("");
  const send = deed.run(async () => {
    const answer = await auth.register({ email: email.value.trim(), displayName: name.value.trim(), password: password.value });
    try {
      granted(await auth.login({ email: email.value.trim(), password: password.value }));
      toast("good", "Welcome", answer.message);
      go(onward());
    } catch {
      // The address was known already, or wants to be verified first: the mail says which.
      said.value = answer.message;
    }
  });
  if (said.value) return <Card title="Check your mail" lead={said.value}><a class="button main" href="#/verify">I have the token</a><a class="button" href="#/login">Log in</a></Card>;
  return (
    <Card title="Create an account" lead="Trade with paper funds at once. A verified address is needed for real funds only.">
      <form onSubmit={send} noValidate>
        <Field label="E-mail" name="email" type="email" autoComplete="username" value={email.value} onInput={(value) => (email.value = value)} error={deed.errors.email} autoFocus />
        <Field label="Name" name="name" autoComplete="nickname" value={name.value} onInput={(value) => (name.value = value)} error={deed.errors.displayName} hint="Shown in the terminal" />
        <Field label="Password" name="password" type="password" autoComplete="new-password" value={password.value} onInput={(value) => (password.value = value)} error={deed.errors.password} hint="Eight characters or more; a few words that do not belong together are best" />
        <Wrong deed={deed} />
        <Send deed={deed} text="Register" />
      </form>
      <p class="aside"><span>Registered already? <a href="#/login">Log in</a></span></p>
    </Card>
  );
}

/** A deed by a token that was mailed: from the link, or typed. */
function ByToken({ title, lead, button, done, call, password = false }: { title: string; lead: string; button: string; done: string; call: (token: string, password: string) => Promise<unknown>; password?: boolean }) {
  const token = useSignal(query.value.get("token") ?? "");
  const next = useSignal("");
  const deed = useDeed();
  const over = useSignal(false);
  const send = deed.run(async () => {
    await call(token.value.trim(), next.value);
    over.value = true;
  });
  if (over.value) return <Card title={done} lead="That is all."><a class="button main" href={isLoggedIn.value ? "#/trade/" : "#/login"}>{isLoggedIn.value ? "Trade" : "Log in"}</a></Card>;
  const invalid = deed.failed && /TOKEN_INVALID$/.test(deed.failed.reason) ? deed.failed.message : undefined;
  return (
    <Card title={title} lead={lead}>
      <form onSubmit={send} noValidate>
        <Field label="Token of the mail" name="token" value={token.value} onInput={(value) => (token.value = value)} error={deed.errors.token ?? invalid} />
        {password && <Field label="New password" name="password" type="password" autoComplete="new-password" value={next.value} onInput={(value) => (next.value = value)} error={deed.errors.newPassword} />}
        {!invalid && <Wrong deed={deed} />}
        <Send deed={deed} text={button} />
      </form>
    </Card>
  );
}

function Forgot() {
  const email = useSignal("");
  const deed = useDeed();
  const said = useSignal("");
  const send = deed.run(async () => {
    said.value = (await auth.requestPasswordReset({ email: email.value.trim() })).message;
  });
  if (said.value) return <Card title="Check your mail" lead={said.value}><a class="button main" href="#/reset">I have the token</a></Card>;
  return (
    <Card title="Set a new password" lead="A token is mailed to you that is good for 30 minutes.">
      <form onSubmit={send} noValidate>
        <Field label="E-mail" name="email" type="email" autoComplete="username" value={email.value} onInput={(value) => (email.value = value)} error={deed.errors.email} autoFocus />
        <Wrong deed={deed} />
        <Send deed={deed} text="Mail it" />
      </form>
      <p class="aside"><a href="#/login">Back</a></p>
    </Card>
  );
}

/** Another program asks to act for who is logged in (OAuth 2.1, PKCE). The server knows the program and where it may be sent back to. */
function Authorize() {
  const asked = query.value;
  const deed = useDeed();
  useEffect(() => {
    if (!isLoggedIn.value) go(`login?next=${encodeURIComponent(`authorize?${asked}`)}`);
  }, [isLoggedIn.value]);
  const [client, redirectUri] = [asked.get("client_id") ?? "", asked.get("redirect_uri") ?? ""];
  const host = URL.canParse(redirectUri) ? new URL(redirectUri).host : redirectUri;
  const allow = deed.run(async () => {
    const answer = await auth.authorize({ clientId: client, redirectUri, codeChallenge: asked.get("code_challenge") ?? "", codeChallengeMethod: asked.get("code_challenge_method") ?? "", state: asked.get("state") ?? "" });
    location.assign(answer.redirectUri);
  });
  const problems = Object.entries(deed.errors);
  return (
    <Card title={`Allow ${client || "a program"}?`} lead={<><b>{client}</b> asks to act for <b>{session.value?.email}</b> within what it is registered for, and then sends you to <b>{host}</b>.</>}>
      <form onSubmit={allow}>
        {problems.map(([field, text]) => <p key={field} class="error" role="alert">{field}: {text}</p>)}
        <Wrong deed={deed} />
        <Send deed={deed} text="Allow" />
        <a class="button" href="#/trade/">Do not allow</a>
      </form>
    </Card>
  );
}

export function Portal() {
  switch (path.value[0]) {
    case "login": return <Login />;
    case "register": return <Register />;
    case "forgot": return <Forgot />;
    case "verify": return <ByToken title="Verify your address" lead="With the token that was mailed to you." button="Verify" done="Your address is verified" call={(token) => auth.verifyEmail({ token })} />;
    case "reset": return <ByToken title="Set a new password" lead="Every session of yours ends with it." button="Set it" done="The new password is set" password call={(token, newPassword) => auth.resetPassword({ token, newPassword })} />;
    case "unlock": return <ByToken title="Let this place log in" lead="While others guess at your password." button="Let it" done="You can log in from here" call={(token) => auth.unlockLogin({ token })} />;
    case "authorize": return <Authorize />;
    default: return <Card title="Nothing here" lead="There is no such page."><a class="button main" href="#/markets">All markets</a></Card>;
  }
}
