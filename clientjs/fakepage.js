// A page for tests: just enough of a browser around the client, with a clock
// that stands still.

export class FakeSocket {
  readyState = 0;
  sent = [];
  constructor(url, protocol) {
    Object.assign(this, { url, protocol });
    FakeSocket.opened.push(this);
  }
  send(text) { this.sent.push(JSON.parse(text)); }
  close() {
    this.closed = true;
    this.readyState = 3;
  }
  open() {
    this.readyState = 1;
    this.onopen?.();
  }
  hear(message) { this.onmessage?.({ data: typeof message === "string" ? message : JSON.stringify(message) }); }
  break(code = 1006) {
    this.readyState = 3;
    this.onclose?.({ code });
  }
  welcome(user = "42", mark = "mark-of-42") {
    this.open();
    this.hear({ type: "welcome", user, mark });
  }
}

let pages = 0;

/**
 * Loads the client into a new page. `tag` is the script tag's data, null for a
 * page without; `answer` answers requests.
 */
export async function load(t, { tag = {}, navigation = "navigate", answer, webSocket = FakeSocket, url = "http://shop.test/a/b" } = {}) {
  const window = new EventTarget();
  const page = {
    sockets: [], requests: [], reloads: 0, shown: [], window,
    get socket() { return page.sockets.at(-1); },
    fire: (type, more) => window.dispatchEvent(Object.assign(new Event(type), more)),
    settle: async () => { for (let i = 0; i < 5; i++) await new Promise(setImmediate); },
    // In small steps: what a timer starts has its turn, too.
    tick: (ms) => { for (; ms > 0; ms -= 100) t.mock.timers.tick(Math.min(ms, 100)); },
    answer: answer ?? (() => new Response("null")),
  };
  const document = Object.assign(new EventTarget(), {
    baseURI: url,
    hidden: false,
    querySelector: (selector) => selector === "script[data-sojourn]" && tag
      ? { dataset: { sojourn: "/_sojourn/", user: "42", mark: "mark-of-42", tab: "tab-of-the-page-0123456", ...tag } }
      : null,
    createElement: () => ({ style: {}, setAttribute(name, value) { this[name] = value; } }),
    body: { append: (box) => page.shown.push(box) },
  });
  page.document = document;
  page.visible = (visible) => {
    document.hidden = !visible;
    document.dispatchEvent(new Event("visibilitychange"));
  };

  FakeSocket.opened = page.sockets;
  t.mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
  t.mock.method(Math, "random", () => 0.5);
  t.mock.method(performance, "getEntriesByType", () => [{ type: navigation }]);
  t.mock.method(globalThis, "fetch", async (request) => {
    request.text = ((body) => () => body)(await request.text());
    page.requests.push(request);
    return page.answer(request);
  });
  const globals = {
    document,
    location: { href: url, reload: () => page.reloads++ },
    WebSocket: webSocket,
    addEventListener: window.addEventListener.bind(window),
  };
  for (const [name, value] of Object.entries(globals)) {
    const was = Object.getOwnPropertyDescriptor(globalThis, name);
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
    t.after(() => was ? Object.defineProperty(globalThis, name, was) : delete globalThis[name]);
  }
  t.after(() => delete globalThis[Symbol.for("sojourn")]);
  page.import = () => import(`./client.js?page=${++pages}`);
  page.module = await page.import();
  page.client = page.module.default;
  return page;
}

/** An answer of the server. */
export const json = (value, { status = 200, headers } = {}) =>
  new Response(status === 204 ? null : JSON.stringify(value), { status, headers });
