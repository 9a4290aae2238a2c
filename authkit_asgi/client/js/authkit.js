// The browser's side of authkit-asgi: calls, sockets and event streams that stay signed in, over all
// tabs of a browser. No dependency, no build step. The tokens rest in HttpOnly cookies and are never
// seen here: what this knows is who is signed in, and until when.
//
// One refresh serves all tabs, because two that follow each other closely would make a request that is
// still on its way with the first token look like a thief's.

const SECOND = 1000;
const PATIENCE = 30 * SECOND; // for a refresh, and for another tab's
const LEASE = 15 * SECOND; // a tab that died in the middle holds the others up for no longer
const STABLE = 5 * SECOND; // a connection that lasted so long begins its backoff anew
const HEARD = 100; // ms in which what one tab says has reached all others
const LEAD = 60 * SECOND; // a refresh ahead of time comes about so long before the end
const FINAL = new Set([1000, 1008, 4400, 4403]); // close codes after which a new try is no use
const ACTS = ["pointerdown", "keydown", "wheel", "touchstart", "focus"];

const [FRESH, DEAD, LATER, UNCLEAR] = ["fresh", "dead", "later", "unclear"];

const now = () => performance.now(); // 0 is when the page was asked for; no clock change moves it
const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms));
const jittered = (ms) => ms * (0.5 + Math.random() / 2);

/** The API refused. `status` is 0 and `code` empty when something else than the API is to blame. */
export class AuthKitError extends Error {
  constructor(message, { status = 0, code = "", fields = {}, data = {}, response = null } = {}) {
    super(message);
    this.name = "AuthKitError";
    Object.assign(this, { status, code, fields, data, response });
  }
}

export class Session extends EventTarget {
  #api;
  #origins;
  #spacing; // ms between two refreshes
  #warning; // ms before the session's end
  #channel;

  #state = "unknown";
  #user = null;
  #expiresAt = 0; // ms since the epoch, by the server's clock
  #sessionExpiresAt = 0;
  #skew = 0; // the server's clock minus ours, ms
  #lifetime = Infinity; // of an access token, ms
  #era = 0; // how often somebody signed in or out: an answer from before says nothing any more

  #last = { verdict: UNCLEAR, at: -1 }; // the outcome of the latest refresh of any tab
  #renewedAt = -Infinity; // the latest that was a success
  #flight = null;
  #looking = null;

  #started = null; // an AbortController while `start` holds
  #timer = 0;
  #dueAt = 0; // when to refresh ahead of time
  #failures = 0;
  #keeping = false;
  #active = true; // somebody did something since the last refresh
  #warned = 0; // the end that was warned of

  constructor({ api = "/api/users", origins = [], spacing = 10, warning = 120 } = {}) {
    super();
    this.#api = api.replace(/\/+$/, "");
    this.#origins = origins;
    this.#spacing = spacing * SECOND;
    this.#warning = warning * SECOND;
    if (globalThis.document && globalThis.BroadcastChannel) {
      this.#channel = new BroadcastChannel(`authkit ${this.#api}`);
      this.#channel.onmessage = ({ data }) => this.#hear(data);
    }
  }

  get state() {
    return this.#state;
  }

  get user() {
    return this.#user;
  }

  get expiresAt() {
    return this.#expiresAt ? new Date(this.#expiresAt) : null;
  }

  get sessionExpiresAt() {
    return this.#sessionExpiresAt ? new Date(this.#sessionExpiresAt) : null;
  }

  /** As `fetch`. A 401 that says `token_expired` is followed by one refresh and one more try. */
  async call(url, options = {}) {
    const response = await this.#calling(url, options);
    if (this.#state === "signed-in" && (await codeOf(response)) === "not_signed_in") {
      await this.load().catch(() => {}); // it may be one service's view alone
    }
    return response;
  }

  /** Asks the server who is signed in: the user, or null. */
  load() {
    this.#looking ??= this.#look().finally(() => (this.#looking = null));
    return this.#looking;
  }

  async signIn(email, password, { rememberMe = false } = {}) {
    await this.#change("/login", { email, password, rememberMe });
    return this.load();
  }

  async signOut() {
    await this.#change("/logout");
    this.#signedOut();
  }

  /** New tokens, now; when they run out. */
  async refresh() {
    const asked = now();
    // Loading this page may have refreshed within the request, unseen: so that counts as one.
    await sleep(this.#gap() - now());
    const { verdict, response } = await this.#renew(asked);
    if (verdict === FRESH) return this.expiresAt;
    throw await errorFrom(response, "The access token was not refreshed.");
  }

  /** From now on: refreshes ahead of time while somebody is there, and tells when the end is near. */
  async start() {
    if (!this.#started) {
      this.#started = new AbortController();
      const { signal } = this.#started;
      const act = () => {
        this.#active = true;
        if (this.#time() >= this.#dueAt) this.#tick();
      };
      for (const type of ACTS) addEventListener(type, act, { signal, capture: true, passive: true });
      addEventListener("online", act, { signal });
      // Brought back by the way back, as it was left: nobody told it what happened meanwhile.
      const back = ({ persisted }) => persisted && this.load().catch(() => {});
      addEventListener("pageshow", back, { signal });
      document.addEventListener("visibilitychange", act, { signal });
    }
    try {
      return await this.load();
    } catch (error) {
      this.#dueAt = this.#time() + backoff(3);
      throw error;
    } finally {
      this.#tick();
    }
  }

  stop() {
    this.#started?.abort();
    this.#started = null;
    clearTimeout(this.#timer);
  }

  webSocket(url, protocols = []) {
    return new LiveSocket(this, this.#own(url), (since) => this.#renew(since), protocols);
  }

  /** `url` may be a function of the last event's id, to go on from there after a new sign-in. */
  eventSource(url) {
    const at = typeof url === "function" ? url : () => url;
    const address = (id) => this.#own(at(id));
    address(""); // complain now
    return new LiveEvents(this, address, (since) => this.#renew(since));
  }

  // --- requests

  /** The address, if it is one that cookies may go to. */
  #own(url) {
    if (url instanceof Request) throw new TypeError("An address and options, please, not a Request.");
    const target = new URL(url, location.href);
    if (!this.#isOwn(target)) {
      throw new TypeError(`${target.origin} is neither this site nor among the session's origins.`);
    }
    return target;
  }

  #isOwn({ protocol, host }) {
    const origin = `${protocol.replace(/^ws/, "http")}//${host}`;
    const others = [this.#api, ...this.#origins].map((one) => new URL(one, location.href).origin);
    return origin === location.origin || others.includes(origin);
  }

  #fetch(target, options = {}) {
    const here = target.origin === location.origin;
    return fetch(target, {
      ...options,
      credentials: here ? "same-origin" : "include",
      redirect: here ? options.redirect : "error", // no cookies to whom it may lead
    });
  }

  async #calling(url, options = {}) {
    const target = this.#own(url);
    const sent = now();
    const response = await this.#fetch(target, options);
    if ((await codeOf(response, options.method)) !== "token_expired") return response;
    if (!this.#isOwn(new URL(response.url))) return response; // a redirect led elsewhere
    if (this.#state === "unknown") this.#state = "signed-in"; // or there were no token to run out
    const outcome = await this.#renew(sent);
    if (outcome.verdict === LATER) return outcome.response.clone();
    if (outcome.verdict !== FRESH) return response;
    if (options.body instanceof ReadableStream) {
      const message = "The access token had run out, and a stream cannot be sent twice. Send it anew.";
      throw new AuthKitError(message, { status: 401, code: "body_not_replayable", response });
    }
    return this.#fetch(target, options);
  }

  /** To the API itself. A body even where none is needed: no form of another site can send JSON. */
  async #ask(method, path, body) {
    const response = await this.#fetch(new URL(this.#api + path, location.href), {
      method,
      cache: "no-store",
      headers: body && { "Content-Type": "application/json" },
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(PATIENCE),
    });
    const date = Date.parse(response.headers.get("Date") ?? "");
    const skew = date - Date.now();
    if (date) this.#skew = Math.abs(skew) > 2 * SECOND ? skew : 0; // the header knows whole seconds
    return response;
  }

  async #change(path, body = {}) {
    // Not beside a refresh, whose late answer would bring the old cookies back.
    const response = await this.#exclusively(() => this.#ask("POST", path, body));
    if (!response.ok) throw await errorFrom(response, "The server did not do it.");
    this.#era += 1;
  }

  async #look() {
    const era = this.#era;
    const response = await this.#calling(`${this.#api}/session`, { cache: "no-store" });
    return era === this.#era ? this.#learn(response) : this.#look();
  }

  // --- one refresh for all

  /** The outcome of a refresh later than `since`: another's, or one of our own. */
  async #renew(since) {
    if (this.#last.at > since) return this.#last;
    this.#flight ??= this.#exclusively(() => this.#exchange(since)).finally(() => {
      this.#flight = null;
    });
    return this.#flight;
  }

  async #exchange(since) {
    if (this.#last.at > since) return this.#last; // another tab was quicker
    await sleep(this.#renewedAt + this.#gap() - now());
    const response = await this.#ask("POST", "/token", {});
    let verdict = judge(response.status, await codeOf(response));
    if (verdict === FRESH) {
      const { data } = await response.clone().json();
      const expiresAt = Date.parse(data.accessTokenExpiresAt);
      this.#refreshed({ expiresAt, lifetime: expiresAt - this.#time() });
      this.#tell({ type: "refreshed", expiresAt, lifetime: this.#lifetime });
    } else if (verdict === DEAD) {
      // The cookies of a new sign-in may have come meanwhile.
      const seen = this.#ask("GET", "/session").then((answer) => this.#learn(answer));
      if (await seen.catch(() => null)) verdict = FRESH;
    }
    this.#last = { verdict, response, at: now() };
    return this.#last;
  }

  #refreshed({ expiresAt, lifetime }) {
    this.#renewedAt = now();
    this.#active = false;
    this.#last = { verdict: FRESH, at: this.#renewedAt };
    this.#lifetime = lifetime > 0 ? lifetime : Infinity; // less than nothing: a clock is wrong
    this.#knows({ expiresAt });
    if (this.#state === "signed-out") this.load().catch(() => {}); // somebody is in, it seems
    this.dispatchEvent(new CustomEvent("refreshed", { detail: { expiresAt: this.expiresAt } }));
  }

  #gap() {
    return Math.min(this.#spacing, this.#lifetime / 2);
  }

  /** Runs `work` in one tab at a time. Only haste depends on it: the server copes with many. */
  #exclusively(work) {
    const name = `authkit ${this.#api}`;
    if (!globalThis.navigator?.locks) return leased(name, work);
    return new Promise((resolve, reject) => {
      const run = () => work().then(resolve, reject);
      const signal = AbortSignal.timeout(PATIENCE + 5 * SECOND);
      const held = () => run().then(() => sleep(HEARD));
      navigator.locks.request(name, { signal }, held).catch(run); // the other tab sleeps, it seems
    });
  }

  // --- what is known, here and in the other tabs

  async #learn(response) {
    const code = await codeOf(response);
    if (response.ok) {
      const { data } = await response.json();
      if (this.#user && this.#user.id !== data.user.id) this.#signedOut({ heard: true });
      const isNew = this.#state !== "signed-in" || !this.#user;
      this.#user = data.user;
      this.#state = "signed-in";
      const times = {
        expiresAt: Date.parse(data.accessTokenExpiresAt),
        sessionExpiresAt: Date.parse(data.sessionExpiresAt),
      };
      this.#knows(times);
      if (isNew) this.dispatchEvent(new CustomEvent("signedin", { detail: { user: data.user } }));
      this.#tell({ type: "seen", id: data.user.id, ...times });
      return data.user;
    }
    if (response.status !== 401 || !code || code === "token_expired") {
      throw await errorFrom(response, "Nobody can say who is signed in.");
    }
    this.#signedOut();
    return null;
  }

  #knows({ expiresAt, sessionExpiresAt = this.#sessionExpiresAt }) {
    this.#sessionExpiresAt = sessionExpiresAt;
    if (expiresAt !== this.#expiresAt) {
      this.#expiresAt = expiresAt;
      const left = expiresAt - this.#time();
      // Of several tabs one is the first, and the others hear of it.
      this.#dueAt = expiresAt - 1.5 * jittered(Math.min(LEAD, left / 4));
    }
    this.#tick();
  }

  #signedOut({ heard = false } = {}) {
    const was = this.#state;
    this.#state = "signed-out";
    this.#user = null;
    this.#expiresAt = this.#sessionExpiresAt = 0;
    this.#era += 1;
    if (!heard) this.#tell({ type: "signedout" });
    if (was === "signed-in") this.dispatchEvent(new CustomEvent("signedout"));
  }

  #tell(message) {
    this.#channel?.postMessage(message);
  }

  #hear({ type, id, ...times }) {
    if (type === "refreshed") this.#refreshed(times);
    else if (type === "signedout") this.#signedOut({ heard: true });
    else if (this.#user?.id === id) this.#knows(times);
    else if (this.#state !== "unknown") this.load().catch(() => {});
  }

  // --- ahead of time

  #time() {
    return Date.now() + this.#skew;
  }

  #tick = () => {
    clearTimeout(this.#timer);
    if (!this.#started || this.#state === "signed-out") return;
    const [time, ends] = [this.#time(), this.#sessionExpiresAt];
    const over = ends + 3 * SECOND; // the clocks may differ by that much
    const marks = [this.#dueAt, ends - this.#warning, over];
    // Nobody there: the session may run out as it should, and this is looked at when somebody comes.
    if (time >= this.#dueAt && this.#active && document.visibilityState === "visible") this.#keepFresh();
    if (time >= ends - this.#warning && time < ends && this.#warned !== ends) this.#warn(ends);
    if (ends && time >= over) this.load().catch(() => {});
    const next = Math.min(...marks.filter((mark) => mark > time), time + 3600 * SECOND);
    this.#timer = setTimeout(this.#tick, next - time);
  };

  async #keepFresh() {
    if (this.#keeping) return;
    this.#keeping = true;
    const began = now();
    try {
      // A page of another tab may have refreshed within its request. And with a token that has run
      // out, this question does.
      await this.load();
      if (this.#state === "signed-in" && this.#time() >= this.#dueAt) {
        const { verdict } = await this.#renew(began);
        if (verdict !== FRESH && verdict !== DEAD) throw new AuthKitError(verdict);
        await this.load(); // the session's end has moved, too
      }
      this.#failures = 0;
      this.#active = false;
    } catch {
      this.#failures += 1;
      this.#dueAt = this.#time() + backoff(this.#failures);
    } finally {
      this.#keeping = false;
      this.#tick();
    }
  }

  async #warn(ends) {
    this.#warned = ends;
    // It may have moved. Asked with a token that has run out, the question itself would move it.
    if (this.#time() < this.#expiresAt) await this.load().catch(() => {});
    if (this.#sessionExpiresAt !== ends) return;
    const detail = { sessionExpiresAt: new Date(ends), seconds: (ends - this.#time()) / SECOND };
    this.dispatchEvent(new CustomEvent("sessionexpiring", { detail }));
  }
}

/** A connection that comes back: `open`, `message`, `reconnecting`, and `close` when it is over. */
class Live extends EventTarget {
  #session;
  #renew;
  #over = new AbortController();

  constructor(session, renew) {
    super();
    this.#session = session;
    this.#renew = renew;
    const { signal } = this.#over;
    session.addEventListener("signedout", () => this.close(4401, "signed out"), { signal });
  }

  close(code = 1000, reason = "") {
    this.#over.abort({ code, reason });
  }

  get closed() {
    return this.#over.signal;
  }

  /** `connect` gives how a connection ended: `{ opened, code, reason }`. */
  async keep(connect) {
    let attempt = 0;
    while (!this.closed.aborted) {
      let since = now();
      const began = since;
      const end = await connect();
      if (FINAL.has(end.code) && !this.closed.aborted) this.close(end.code, end.reason);
      if (end.opened && now() - began > STABLE) attempt = 0;
      let isReady = this.closed.aborted;
      while (!isReady) {
        const delay = backoff(attempt++);
        const detail = { code: end.code, seconds: delay / SECOND };
        this.dispatchEvent(new CustomEvent("reconnecting", { detail }));
        await this.#pause(delay);
        isReady = this.closed.aborted || (await this.#isWelcome(end, since));
        since = now(); // what was said of this try holds for the next no more
      }
    }
    this.dispatchEvent(new CloseEvent("close", this.closed.reason));
  }

  /** Whether a new try makes sense now. An outage says no more than: not yet. */
  async #isWelcome({ opened, code }, since) {
    try {
      if (code === 4401) {
        const { verdict } = await this.#renew(since);
        if (verdict === DEAD) this.close(4401, "signed out");
        return verdict === FRESH || verdict === DEAD;
      }
      // A handshake that was refused does not say why.
      if (!opened && !(await this.#session.load())) this.close(4401, "signed out");
      return true;
    } catch {
      return false;
    }
  }

  async #pause(ms) {
    const done = new AbortController();
    await new Promise((wake) => {
      setTimeout(wake, ms);
      addEventListener("online", wake, { signal: done.signal });
      this.closed.addEventListener("abort", wake, { signal: done.signal });
    });
    done.abort();
  }
}

class LiveSocket extends Live {
  #socket = null;
  binaryType = "blob";

  constructor(session, target, renew, protocols) {
    super(session, renew);
    const address = target.href.replace(/^http/, "ws");
    this.closed.addEventListener("abort", () => {
      const { code, reason } = this.closed.reason;
      this.#socket?.close(code < 3000 ? 1000 : code, reason); // what a page may say
    });
    this.keep(() => this.#connect(address, protocols));
  }

  get readyState() {
    return this.closed.aborted ? WebSocket.CLOSED : (this.#socket?.readyState ?? WebSocket.CONNECTING);
  }

  /** Nothing is kept for later: throws while there is no connection, as a WebSocket does. */
  send(data) {
    if (this.readyState !== WebSocket.OPEN) throw new DOMException("Not open.", "InvalidStateError");
    this.#socket.send(data);
  }

  #connect(address, protocols) {
    return new Promise((over) => {
      const socket = (this.#socket = new WebSocket(address, protocols));
      let opened = false;
      socket.binaryType = this.binaryType;
      socket.onopen = () => {
        opened = true;
        this.dispatchEvent(new Event("open"));
      };
      socket.onmessage = ({ data }) => this.dispatchEvent(new MessageEvent("message", { data }));
      socket.onclose = ({ code, reason }) => over({ opened, code, reason });
    });
  }
}

class LiveEvents extends Live {
  #source = null;
  #types = new Set(["message"]);
  #lastEventId = "";

  constructor(session, address, renew) {
    super(session, renew);
    this.keep(() => this.#connect(address(this.#lastEventId)));
  }

  addEventListener(type, ...rest) {
    super.addEventListener(type, ...rest);
    if (["open", "reconnecting", "close"].includes(type) || this.#types.has(type)) return;
    this.#types.add(type);
    this.#source?.addEventListener(type, this.#forward);
  }

  #forward = ({ type, data, lastEventId }) => {
    this.#lastEventId = lastEventId;
    this.dispatchEvent(new MessageEvent(type, { data, lastEventId }));
  };

  #connect(target) {
    return new Promise((over) => {
      const withCredentials = target.origin !== location.origin;
      const source = (this.#source = new EventSource(target, { withCredentials }));
      for (const type of this.#types) source.addEventListener(type, this.#forward);
      source.onopen = () => this.dispatchEvent(new Event("open"));
      // A stream that breaks off is the browser's to resume; one that is refused is ours.
      source.onerror = () => source.readyState === EventSource.CLOSED && over({ opened: false, code: 0 });
      this.closed.addEventListener("abort", () => (source.close(), over({ opened: true, code: 1000 })));
    });
  }
}

// What the answer to a refresh means:
//   2xx                    fresh    new cookies
//   401 with our `code`    dead     the session is over
//   429, 5xx               later    a fault, never a sign-out
//   anything else          unclear  a proxy, a wrong address
function judge(status, code) {
  if (status >= 200 && status < 300) return FRESH;
  if (status === 401 && code) return DEAD;
  return status === 429 || status >= 500 ? LATER : UNCLEAR;
}

/** The `code` of a 401 that is ours, or "". */
async function codeOf(response, method = "GET") {
  if (response.status !== 401) return "";
  if (method.toUpperCase() === "HEAD") {
    const challenge = response.headers.get("WWW-Authenticate") ?? "";
    return challenge.includes('error="invalid_token"') ? "token_expired" : "";
  }
  const { code } = await saidBy(response);
  return typeof code === "string" ? code : "";
}

async function saidBy(response) {
  if (!response.headers.get("Content-Type")?.startsWith("application/json")) return {};
  const said = await response.clone().json().catch(() => null);
  return said ?? {};
}

async function errorFrom(response, otherwise) {
  const { error = otherwise, ...said } = response ? await saidBy(response) : {};
  return new AuthKitError(error, { ...said, status: response?.status, response });
}

function backoff(attempt) {
  return jittered(Math.min(30 * SECOND, SECOND * 2 ** attempt));
}

/** Without Web Locks (plain http): a lease in localStorage, which holds no secret. Who wrote last has it. */
async function leased(name, work) {
  const mine = Math.random().toString(36).slice(2);
  const holder = () => localStorage.getItem(name)?.split(" ") ?? [];
  const until = now() + PATIENCE;
  try {
    while (now() < until && holder()[0] !== mine) {
      const isFree = !(Number(holder()[1]) > Date.now());
      if (isFree) localStorage.setItem(name, `${mine} ${Date.now() + LEASE}`);
      await sleep(jittered(HEARD));
    }
  } catch {
    return work(); // storage is closed to this page: every tab for itself
  }
  const release = () => holder()[0] === mine && localStorage.removeItem(name);
  return work().finally(() => setTimeout(release, HEARD));
}

export const session = new Session();
export const apiCall = (url, options) => session.call(url, options);
