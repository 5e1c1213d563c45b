// Who calls: an API key, or a person whose access token is renewed before it ends. A refresh token is good for one use, so one
// renewal runs for all calls, it is never repeated, and where its answer was lost the person is logged in again.
import { createClient, type Transport } from "@connectrpc/connect";
import { AuthService } from "./gen/venue/auth/v1/auth_pb.js";

export interface Credential {
  /** The header of a call. Throws VenueError. */
  header(plain: Transport): Promise<[name: string, value: string]>;
  /** After the server did not take that value: whether there is another one now. */
  renew(plain: Transport, refused: string): Promise<boolean>;
}

/** `id.secret`, as CreateApiKey showed it once. */
export class ApiKey implements Credential {
  readonly #key: string;
  constructor(key: string) {
    this.#key = key;
  }
  header(): Promise<[string, string]> {
    return Promise.resolve(["x-api-key", this.#key]);
  }
  renew(): Promise<boolean> {
    return Promise.resolve(false);
  }
}

const EARLY_MS = 60_000;
const CALL_MS = 15_000;

export class Password implements Credential {
  readonly #password: string;
  #access = "";
  #refresh = "";
  #renewAt = 0;
  #renewing: Promise<void> | null = null;

  constructor(readonly email: string, password: string, private readonly totpCode = "") {
    this.#password = password;
  }

  async header(plain: Transport): Promise<[string, string]> {
    if (Date.now() >= this.#renewAt) await this.#granted(plain);
    return ["authorization", `Bearer ${this.#access}`];
  }

  async renew(plain: Transport, refused: string): Promise<boolean> {
    if (refused === `Bearer ${this.#access}`) await this.#granted(plain);
    return true;
  }

  #granted(plain: Transport): Promise<void> {
    this.#renewing ??= this.#grant(plain).finally(() => (this.#renewing = null));
    return this.#renewing;
  }

  async #grant(plain: Transport): Promise<void> {
    const auth = createClient(AuthService, plain);
    const begun = Date.now();
    const token = this.#refresh;
    this.#refresh = "";
    const limit = { timeoutMs: CALL_MS };
    const login = () => auth.login({ email: this.email, password: this.#password, totpCode: this.totpCode }, limit);
    const granted = token ? await auth.refresh({ refreshToken: token }, limit).catch(login) : await login();
    this.#access = granted.accessToken;
    this.#refresh = granted.refreshToken;
    const lives = granted.expiresIn * 1000;
    this.#renewAt = begun + lives - Math.min(EARLY_MS, lives / 2);
  }
}
