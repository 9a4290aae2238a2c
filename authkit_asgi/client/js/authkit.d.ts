/** A user as the API shows it. */
export interface User {
  id: string;
  firstname: string;
  lastname: string;
  username: string;
  email: string;
  bio: string;
  isVerified: boolean;
  isAdmin: boolean;
  createdAt: string;
  lastLoginAt: string | null;
}

/** The API refused. `status` is 0 and `code` empty when something else than the API is to blame. */
export class AuthKitError extends Error {
  readonly status: number;
  /** For programs: `bad_credentials`, `body_not_replayable`, … */
  readonly code: string;
  /** What is wrong with which field. */
  readonly fields: Record<string, string>;
  /** What the answer hands over all the same: the `ticket` of a sign-in that needs one more step. */
  readonly data: Record<string, unknown>;
  readonly response: Response | null;
}

export interface SessionOptions {
  /** The address of the JSON API, a path or whole. Default: `/api/users`. */
  api?: string;
  /** Other origins that calls may go to, beside this page's and the API's. */
  origins?: string[];
  /** Seconds between two refreshes. Default: 10, and at most half the life of an access token. */
  spacing?: number;
  /** Seconds before the session's end at which `sessionexpiring` is told. Default: 120. */
  warning?: number;
}

export interface SessionEvents {
  /** Somebody is signed in; also when another tab did it. */
  signedin: CustomEvent<{ user: User }>;
  /** The session is over; also when another tab ended it. */
  signedout: CustomEvent<null>;
  /** New tokens came, to this tab or to another. */
  refreshed: CustomEvent<{ expiresAt: Date }>;
  /** The session ends in so many seconds, unless it is used. */
  sessionexpiring: CustomEvent<{ sessionExpiresAt: Date; seconds: number }>;
}

export type CallOptions = Omit<RequestInit, "credentials">;

export class Session extends EventTarget {
  constructor(options?: SessionOptions);
  readonly state: "unknown" | "signed-in" | "signed-out";
  readonly user: User | null;
  /** When the access token runs out, by the server's clock. */
  readonly expiresAt: Date | null;
  readonly sessionExpiresAt: Date | null;
  /**
   * As `fetch`; a 401 that says `token_expired` is followed by one refresh and one more try.
   * @throws TypeError for an address of another origin, and when the network fails.
   * @throws AuthKitError `body_not_replayable`: the body was a stream. The token is fresh now.
   */
  call(url: string | URL, options?: CallOptions): Promise<Response>;
  /**
   * Asks the server who is signed in.
   * @throws AuthKitError or TypeError when nobody can say: that is not a sign-out.
   */
  load(): Promise<User | null>;
  /** @throws AuthKitError `bad_credentials`, `challenge_required`, … */
  signIn(email: string, password: string, options?: { rememberMe?: boolean }): Promise<User | null>;
  /** @throws AuthKitError when the server could not: then the session still lives. */
  signOut(): Promise<void>;
  /**
   * New tokens now; when they run out. Within `spacing` of another refresh, or of the page's load, it
   * waits for as long as that takes.
   */
  refresh(): Promise<Date>;
  /** `load`, and from now on refresh ahead of time while somebody is there, and tell of the end. */
  start(): Promise<User | null>;
  stop(): void;
  /** A WebSocket that comes back, after 4401 with a new token. */
  webSocket(url: string | URL, protocols?: string | string[]): LiveSocket;
  /** An EventSource that comes back. A function as `url` gets the last event's id. */
  eventSource(url: string | URL | ((lastEventId: string) => string | URL)): LiveEvents;
  addEventListener<K extends keyof SessionEvents>(
    type: K,
    listener: (event: SessionEvents[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
}

export interface LiveEventMap {
  open: Event;
  message: MessageEvent;
  /** A new try follows in so many seconds. `code` is what the last connection was closed with. */
  reconnecting: CustomEvent<{ code: number; seconds: number }>;
  /** It is over for good: 4401 when signed out. */
  close: CloseEvent;
}

interface Live extends EventTarget {
  close(code?: number, reason?: string): void;
  addEventListener<K extends keyof LiveEventMap>(
    type: K,
    listener: (event: LiveEventMap[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: (event: MessageEvent) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
}

export interface LiveSocket extends Live {
  binaryType: BinaryType;
  readonly readyState: number;
  /** @throws DOMException `InvalidStateError` while there is no connection. */
  send(data: string | ArrayBufferLike | Blob | ArrayBufferView): void;
}

export type LiveEvents = Live;

/** The session at `/api/users` of this site. */
export const session: Session;
/** `session.call`. */
export function apiCall(url: string | URL, options?: CallOptions): Promise<Response>;
