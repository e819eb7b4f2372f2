// The client of sojourn in the browser. client.d.ts says what each function
// does, docs/protocol.md what goes over the wire.

const REASONS = "connected disconnect disconnect-all revoked expired evicted replaced user-gone".split(" ");
const SILENCE = 50_000, SHOWN = 2_000, LEAVING = 5_000, BACKOFF = [500, 30_000]; // ms

class CallError extends Error {
  constructor(code, message, status = 0, cause) {
    super(message, { cause });
    this.name = "SojournError";
    this.code = code;
    this.status = status;
  }
}

const create = () => {
  const { document, location } = globalThis;
  const listeners = new Map(); // event -> functions
  let path = "/_sojourn/", baseURL, user = "", mark, tab = "";
  let first; // call, which brings the tab's id
  let socket, bound = BACKOFF[0], stopped = true, welcomed = false;
  let retrying, watching, restarting; // timers
  let leaving = 0; // since when
  let restarted = performance.getEntriesByType?.("navigation")[0]?.type === "reload";
  let onRestart = () => location?.reload();
  let onChanged = () => {
    const box = document?.createElement("div");
    if (box) {
      box.setAttribute("role", "alert");
      box.textContent = "Connection has changed";
      Object.assign(box.style, {
        position: "fixed", inset: "1rem 1rem auto", zIndex: 2147483647, padding: "1rem",
        background: "#222", color: "#fff", font: "1rem sans-serif", textAlign: "center",
      });
      document.body?.append(box);
    }
    restarting = setTimeout(restart, SHOWN);
  };

  const at = (name) => new URL(path + name, baseURL ?? document?.baseURI);
  const isOurs = (url) => new URL(url, at("")).origin === at("").origin;

  // The live connection.

  const hello = () => {
    if (socket?.readyState === 1) socket.send(JSON.stringify({ type: "hello", tab, mark }));
  };

  const connect = () => {
    if (stopped || socket) return;
    let s;
    try {
      const url = at("live");
      url.protocol = url.protocol.replace("http", "ws");
      s = new WebSocket(url.href, "sojourn.v1");
    } catch {
      return; // there is no WebSocket here: calls work without
    }
    socket = s;
    s.onopen = hello;
    s.onmessage = ({ data }) => socket === s && hear(data);
    s.onclose = ({ code }) => {
      if (socket !== s) return;
      drop();
      if (code === 4000) change("changed");
      else if (code === 4001 || code === 4002) stopped = true;
      else retry();
    };
    watch();
  };

  const drop = () => {
    const s = socket;
    socket = undefined;
    clearTimeout(watching);
    clearTimeout(retrying);
    s?.close();
  };

  const retry = () => {
    retrying = setTimeout(connect, Math.random() * bound);
    bound = Math.min(2 * bound, BACKOFF[1]);
  };

  const hurry = () => {
    if (stopped || socket) return;
    clearTimeout(retrying);
    retrying = setTimeout(connect, Math.random() * BACKOFF[0]);
  };

  // A timer that fires late was held back (a sleeping machine, a hidden tab):
  // then what came meanwhile is to be heard first.
  const watch = (again) => {
    clearTimeout(watching);
    const due = Date.now() + SILENCE;
    watching = setTimeout(() => {
      if (!again && Date.now() > due + LEAVING) return watch(true);
      drop();
      retry();
    }, SILENCE);
  };

  const hear = (data) => {
    watch();
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    if (message?.type === "welcome") {
      ({ user, mark } = message);
      welcomed = true;
      bound = BACKOFF[0];
    } else if (message?.type === "changed") {
      change(REASONS.includes(message.reason) ? message.reason : "changed");
    } else if (message?.type === "event") {
      for (const f of listeners.get(message.event) ?? []) queueMicrotask(() => f(message.data));
    }
  };

  const change = (reason) => {
    close();
    if (restarted && !welcomed) return; // cookies are blocked: restarting again would not help
    // A page that is being left need not be told, unless it is still there later.
    if (Date.now() < leaving + LEAVING) restarting = setTimeout(() => onChanged(reason), LEAVING);
    else onChanged(reason);
  };

  const close = () => {
    stopped = true;
    clearTimeout(restarting);
    drop();
  };

  const restart = () => {
    close();
    restarted = true;
    onRestart();
  };

  const start = (options = {}) => {
    close();
    ({ path = path, baseURL = baseURL, user = user, mark = mark, tab = tab, restart: onRestart = onRestart } = options);
    stopped = welcomed = false;
    connect();
    return sojourn;
  };

  // Calls.

  const send = async (input, init) => {
    const request = new Request(input, init);
    const ours = isOurs(request.url);
    if (ours && tab) request.headers.set("Sojourn-Tab", tab);
    const response = await globalThis.fetch(request);
    if (ours && isOurs(response.url)) {
      const id = response.headers.get("Sojourn-Tab");
      if (id && id !== tab) {
        tab = id;
        setTimeout(hello, 0);
      }
      if (response.headers.get("Sojourn-Restart") === "1") setTimeout(restart, 0);
    }
    return response;
  };

  const post = async (name, input, signal) => {
    const body = JSON.stringify(input) ?? "null";
    let response, value;
    try {
      if (first && !tab) await Promise.race([first, new Promise((done) => setTimeout(done, 1_000))]);
      const call = send(at(name), {
        method: "POST", headers: { "Content-Type": "application/json" }, credentials: "include", body, signal,
      });
      first ??= call.catch(() => {});
      response = await call;
      if (response.status !== 204) value = await response.json();
    } catch (cause) {
      if (signal?.aborted) throw cause;
      if (!response || response.ok) throw new CallError("network", "sojourn: no answer", response?.status, cause);
    }
    if (response.ok) return value;
    const unsaid = [502, 503, 504].includes(response.status) ? "unavailable" : "internal"; // by a proxy, say
    const { code = unsaid, message = `sojourn: status ${response.status}` } = value?.error ?? {};
    throw new CallError(code, message, response.status);
  };

  const leave = async (name, input) => {
    await post(name, input);
    user = mark = "";
  };

  // Wrappers, of which the server has the ones that check.

  const optConnectedFun = (f) => async (...args) => f(user, ...args);
  const connectedFun = (f) => async (...args) => {
    if (!user) throw new CallError("not_connected", "sojourn: not connected");
    return f(user, ...args);
  };

  const sojourn = {
    SojournError: CallError,
    isNotConnected: (error) => error?.code === "not_connected",
    isPermissionDenied: (error) => error?.code === "permission_denied",
    get user() { return user; },
    get tab() { return tab; },
    start, close, restart,
    fetch: send,
    call: (name, input, { signal } = {}) => post("rpc/" + encodeURIComponent(name), input, signal),
    disconnect: () => leave("disconnect", {}),
    disconnectAll: ({ keepUserIndependent = false } = {}) => leave("disconnect-all", { keepUserIndependent }),
    onConnectionChanged: (f) => { onChanged = f; },
    onRestart: (f) => { onRestart = f; },
    on: (event, f) => {
      if (!listeners.has(event)) listeners.set(event, new Set());
      listeners.get(event).add(f);
      return () => listeners.get(event).delete(f);
    },
    connectedFun, connectedRPC: connectedFun,
    connectedWrapper: (f) => async (...args) => f(...args),
    optConnectedFun, optConnectedRPC: optConnectedFun,
  };

  globalThis.addEventListener?.("pagehide", drop);
  globalThis.addEventListener?.("pageshow", ({ persisted }) => persisted && connect());
  globalThis.addEventListener?.("online", hurry);
  globalThis.addEventListener?.("beforeunload", () => { leaving = Date.now(); });
  document?.addEventListener("visibilitychange", () => document.hidden || hurry());

  const { dataset } = document?.querySelector("script[data-sojourn]") ?? {};
  if (dataset) start({ path: dataset.sojourn, user: dataset.user, mark: dataset.mark, tab: dataset.tab });
  return sojourn;
};

// One client per page, from however many URLs this module comes.
const client = (globalThis[Symbol.for("sojourn")] ??= create());
export default client;
export const {
  start, close, restart, fetch, call, disconnect, disconnectAll, on, onConnectionChanged, onRestart,
  connectedFun, connectedRPC, connectedWrapper, optConnectedFun, optConnectedRPC,
  SojournError, isNotConnected, isPermissionDenied,
} = client;
