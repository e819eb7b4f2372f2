/** What `start` takes; what is left out keeps its value. */
export interface StartOptions {
  /** `Config.Path` of the site; `/_sojourn/` unless told otherwise. It ends with a slash. */
  path?: string;
  /** What `path` is relative to; the page unless told otherwise. */
  baseURL?: string | URL;
  /** The user for whom the page was made; "" when nobody is connected. */
  user?: string;
  /**
   * The mark of the session for which the page was made: `data-mark` of the
   * script tag; "" when nobody is connected. A page that leaves it out takes
   * the session that the browser has when the live connection opens.
   */
  mark?: string;
  /** The tab's id: `data-tab` of the script tag. Without it the first call brings one. */
  tab?: string;
  /** As `onRestart`. */
  restart?: () => void;
}

/** Why the connection has changed. */
export type Reason =
  /** Somebody connected in another tab of this browser. */
  | "connected"
  /** Disconnect in another tab of this browser. */
  | "disconnect"
  /** All sessions of the user were closed. */
  | "disconnect-all"
  /** The session was ended from the user's list of sessions. */
  | "revoked"
  /** Its time had come. */
  | "expired"
  /** The user has too many sessions, and this was the least recently used one. */
  | "evicted"
  /** Another session took its place. */
  | "replaced"
  /** The user exists no more. */
  | "user-gone"
  /** The page is older than the browser's session: nobody knows why. */
  | "changed";

/** The codes of errors; an application may have others. */
export type Code =
  | "not_connected"
  | "session_ended"
  | "permission_denied"
  | "cross_origin"
  | "malformed"
  | "not_found"
  | "method"
  | "too_large"
  | "content_type"
  | "internal"
  | "unavailable"
  /** No answer came, or none that can be read; `cause` says more. */
  | "network"
  | (string & {});

/** What calls throw. Act on the code; the message is for people. */
export class SojournError extends Error {
  private constructor();
  readonly code: Code;
  /** The HTTP status; 0 when there was no answer. */
  readonly status: number;
}

/** Reports whether an error says that no user is connected. */
export function isNotConnected(error: unknown): boolean;
/** Reports whether an error says that the user may not do this. */
export function isPermissionDenied(error: unknown): boolean;

/**
 * Makes the page a tab of the site, and opens the live connection. A page with
 * the tag of `Site.ClientScript` does this by itself. Called again it starts
 * anew, with what has changed: after a restart that does not load the page.
 */
export function start(options?: StartOptions): Client;

/** Closes the live connection, for good or until `start`. Calls go on working. */
export function close(): void;

/** Closes the live connection and restarts: loads the page again, or what `onRestart` was told. */
export function restart(): void;

/**
 * Calls a function of the server and answers what it returns. It throws a
 * SojournError, or the signal's reason if that is aborted.
 */
export function call<Out = unknown, In = unknown>(
  name: string,
  input?: In,
  options?: { signal?: AbortSignal },
): Promise<Out>;

/** Closes the session of this browser. The other tabs are told; this one is nobody's. */
export function disconnect(): Promise<void>;

/**
 * Closes all sessions of the user, on every browser, and restarts this tab.
 * User-independent state goes too unless it is to be kept.
 */
export function disconnectAll(options?: { keepUserIndependent?: boolean }): Promise<void>;

/**
 * The browser's fetch, as a call of this tab: for requests to the site it sends
 * the tab's id and does what the answer says. A tab that connects or
 * disconnects through it knows, and is not told to restart.
 */
export function fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;

/**
 * What to do when the page's session is not the browser's any more, in place of
 * showing "Connection has changed" and restarting after two seconds. The live
 * connection is closed then; `restart` is there to be called.
 */
export function onConnectionChanged(f: (reason: Reason) => void): void;

/** How to restart, in place of `location.reload()`. */
export function onRestart(f: () => void): void;

/** Calls `f` with the data of each message of `Site.Notify` that has this name; the answer stops that. */
export function on<Data = unknown>(event: string, f: (data: Data) => void): () => void;

/**
 * Wrappers as on the server, for code that runs on both sides. They give the
 * user to `f`, and do no security check: the server does that. The connected
 * ones throw `not_connected` when nobody is; the opt ones give "".
 */
export function connectedFun<Args extends unknown[], Out>(
  f: (user: string, ...args: Args) => Out,
): (...args: Args) => Promise<Awaited<Out>>;
export function connectedRPC<In, Out>(f: (user: string, input: In) => Out): (input: In) => Promise<Awaited<Out>>;
export function connectedWrapper<Args extends unknown[], Out>(
  f: (...args: Args) => Out,
): (...args: Args) => Promise<Awaited<Out>>;
export function optConnectedFun<Args extends unknown[], Out>(
  f: (user: string, ...args: Args) => Out,
): (...args: Args) => Promise<Awaited<Out>>;
export function optConnectedRPC<In, Out>(f: (user: string, input: In) => Out): (input: In) => Promise<Awaited<Out>>;

/** The client of the page: all of the above, and who and what it is now. */
export interface Client {
  /** The connected user; "" when nobody is. */
  readonly user: string;
  /** The tab's id; "" before the first call of a page that has none. */
  readonly tab: string;
  readonly SojournError: typeof SojournError;
  readonly isNotConnected: typeof isNotConnected;
  readonly isPermissionDenied: typeof isPermissionDenied;
  readonly start: typeof start;
  readonly close: typeof close;
  readonly restart: typeof restart;
  readonly call: typeof call;
  readonly disconnect: typeof disconnect;
  readonly disconnectAll: typeof disconnectAll;
  readonly fetch: typeof fetch;
  readonly onConnectionChanged: typeof onConnectionChanged;
  readonly onRestart: typeof onRestart;
  readonly on: typeof on;
  readonly connectedFun: typeof connectedFun;
  readonly connectedRPC: typeof connectedRPC;
  readonly connectedWrapper: typeof connectedWrapper;
  readonly optConnectedFun: typeof optConnectedFun;
  readonly optConnectedRPC: typeof optConnectedRPC;
}

declare const sojourn: Client;
export default sojourn;
