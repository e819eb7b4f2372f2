import assert from "node:assert/strict";
import { test } from "node:test";
import { json, load } from "./fakepage.js";

const hello = (tab, mark) => ({ type: "hello", tab, mark });

test("a page with the tag starts by itself and says hello", async (t) => {
  const page = await load(t);
  assert.equal(page.sockets.length, 1);
  assert.equal(page.socket.url, "ws://shop.test/_sojourn/live");
  assert.equal(page.socket.protocol, "sojourn.v1");
  assert.deepEqual(page.socket.sent, []);
  page.socket.open();
  assert.deepEqual(page.socket.sent, [hello("tab-of-the-page-0123456", "mark-of-42")]);
  assert.equal(page.client.user, "42");
  assert.equal(page.client.tab, "tab-of-the-page-0123456");
});

test("the tag says where the site's endpoints are, and https is wss", async (t) => {
  const page = await load(t, { tag: { sojourn: "/deep/er/" }, url: "https://shop.test:8443/" });
  assert.equal(page.socket.url, "wss://shop.test:8443/deep/er/live");
});

test("a page without the tag starts when it is told to", async (t) => {
  const page = await load(t, { tag: null });
  assert.equal(page.sockets.length, 0);
  const restart = t.mock.fn();
  const client = page.client.start({ baseURL: "https://api.shop.test", path: "/s/", user: "7", mark: "m", tab: "t", restart });
  assert.equal(client, page.client);
  assert.equal(page.socket.url, "wss://api.shop.test/s/live");
  page.socket.open();
  assert.deepEqual(page.socket.sent, [hello("t", "m")]);
  assert.equal(client.user, "7");
  client.restart();
  assert.equal(restart.mock.callCount(), 1);
  assert.equal(page.reloads, 0);
});

test("a page that does not know its mark says none", async (t) => {
  const page = await load(t, { tag: null });
  page.client.start();
  page.socket.open();
  assert.deepEqual(page.socket.sent, [{ type: "hello", tab: "" }]);
  page.socket.hear({ type: "welcome", user: "42", mark: "m" });
  assert.equal(page.client.user, "42");
});

test("a page has one client, from however many URLs", async (t) => {
  const page = await load(t);
  const again = await page.import();
  assert.notEqual(again, page.module);
  assert.equal(again.default, page.client);
  assert.equal(again.call, page.module.call);
  assert.equal(again.SojournError, page.module.SojournError);
  assert.equal(page.sockets.length, 1);
});

test("without a WebSocket nothing is thrown", async (t) => {
  const page = await load(t, { webSocket: undefined });
  page.tick(100_000);
  page.answer = () => json(3);
  assert.equal(await page.client.call("three"), 3);
  page.fire("online");
  page.fire("pagehide");
  page.client.close();
});

test("a WebSocket that cannot be made is not an error of the page", async (t) => {
  const page = await load(t, { webSocket: class { constructor() { throw new Error("SecurityError"); } } });
  page.tick(100_000);
});

test("a welcome says who the tab's user is, and its mark is the next hello's", async (t) => {
  const page = await load(t);
  page.socket.welcome();
  page.socket.hear({ type: "welcome", user: "7", mark: "mark-of-7" });
  assert.equal(page.client.user, "7");
  page.socket.break();
  page.tick(250);
  page.socket.open();
  assert.deepEqual(page.socket.sent, [hello("tab-of-the-page-0123456", "mark-of-7")]);
});

test("when the connection has changed the page says so, and restarts after two seconds", async (t) => {
  const page = await load(t);
  page.socket.welcome();
  page.socket.hear({ type: "changed", reason: "disconnect" });
  page.socket.break(4000);
  assert.equal(page.shown.length, 1);
  assert.equal(page.shown[0].textContent, "Connection has changed");
  assert.equal(page.shown[0].role, "alert");
  page.tick(1_999);
  assert.equal(page.reloads, 0);
  page.tick(1);
  assert.equal(page.reloads, 1);
  page.tick(1_000_000);
  assert.equal(page.reloads, 1);
  assert.equal(page.sockets.length, 1, "it does not reconnect before");
});

test("the close code alone says that the connection has changed", async (t) => {
  const page = await load(t);
  const f = t.mock.fn();
  page.client.onConnectionChanged(f);
  page.socket.welcome();
  page.socket.break(4000);
  assert.deepEqual(f.mock.calls.map((c) => c.arguments), [["changed"]]);
});

test("the application may do something else, once, and knows why", async (t) => {
  for (const [reason, want] of [["connected"], ["disconnect"], ["disconnect-all"], ["revoked"], ["expired"], ["evicted"],
    ["replaced"], ["user-gone"], ["changed"], ["of a later version", "changed"], [undefined, "changed"]]) {
    await t.test(String(reason), async (t) => {
      const page = await load(t);
      const f = t.mock.fn();
      page.client.onConnectionChanged(f);
      page.socket.welcome();
      page.socket.hear({ type: "changed", reason });
      page.socket.break(4000);
      assert.deepEqual(f.mock.calls.map((c) => c.arguments), [[want ?? reason]]);
      page.tick(100_000);
      assert.equal(page.reloads, 0);
      assert.equal(page.shown.length, 0);
      page.client.restart();
      assert.equal(page.reloads, 1);
    });
  }
});

test("a page that was reloaded in vain is not reloaded again", async (t) => {
  const page = await load(t, { navigation: "reload" });
  const socket = page.socket;
  socket.open();
  socket.hear({ type: "changed", reason: "changed" });
  socket.break(4000);
  page.tick(1_000_000);
  assert.equal(page.reloads, 0);
  assert.equal(page.shown.length, 0);
  assert.equal(page.sockets.length, 1);
});

test("a page that was reloaded and then welcomed restarts as any other", async (t) => {
  const page = await load(t, { navigation: "reload" });
  page.socket.welcome();
  page.socket.hear({ type: "changed", reason: "revoked" });
  page.tick(2_000);
  assert.equal(page.reloads, 1);
});

test("a page that restarts without being loaded does not do so for ever", async (t) => {
  const page = await load(t);
  const restart = t.mock.fn(() => page.client.start({ user: "7", mark: "mark-of-7" }));
  page.client.onRestart(restart);
  page.socket.welcome();
  for (let i = 0; i < 3; i++) {
    page.socket.open();
    page.socket.hear({ type: "changed", reason: "changed" });
    page.tick(2_000);
  }
  assert.equal(restart.mock.callCount(), 1);
  assert.equal(page.sockets.length, 2);
  assert.deepEqual(page.socket.sent, [hello("tab-of-the-page-0123456", "mark-of-7")]);
});

test("a page that is being left is not told, unless it is still there later", async (t) => {
  const page = await load(t);
  page.socket.welcome();
  page.fire("beforeunload");
  page.tick(4_000);
  page.socket.hear({ type: "changed", reason: "connected" });
  page.tick(4_999);
  assert.equal(page.shown.length, 0);
  page.tick(1);
  assert.equal(page.shown.length, 1);
  page.tick(2_000);
  assert.equal(page.reloads, 1);
});

test("a page that was not left is told at once", async (t) => {
  const page = await load(t);
  page.socket.welcome();
  page.fire("beforeunload");
  page.tick(5_000);
  page.socket.hear({ type: "changed", reason: "connected" });
  assert.equal(page.shown.length, 1);
});

for (const code of [4001, 4002]) {
  test(`after close code ${code} the client stays away`, async (t) => {
    const page = await load(t);
    page.socket.welcome();
    page.socket.break(code);
    page.tick(1_000_000);
    page.fire("online");
    page.visible(true);
    page.fire("pagehide");
    page.fire("pageshow", { persisted: true });
    page.tick(1_000_000);
    assert.equal(page.sockets.length, 1);
    assert.equal(page.reloads, 0);
  });
}

for (const code of [1000, 1001, 1005, 1006, 1011, 1012, 3999, 4999]) {
  test(`after close code ${code} the client reconnects`, async (t) => {
    const page = await load(t);
    page.socket.welcome();
    page.socket.break(code);
    page.tick(250);
    assert.equal(page.sockets.length, 2);
    assert.equal(page.reloads, 0);
  });
}

test("waits grow from half a second to thirty, by chance, and fall back after a welcome", async (t) => {
  const page = await load(t);
  const waits = () => {
    page.socket.break();
    const n = page.sockets.length;
    for (let ms = 0; ; ms += 125) {
      if (page.sockets.length > n) return ms;
      page.tick(125);
    }
  };
  assert.deepEqual([waits(), waits(), waits(), waits()], [250, 500, 1_000, 2_000]);
  Math.random.mock.mockImplementation(() => 0);
  assert.deepEqual([waits(), waits(), waits()], [125, 125, 125], "no wait, but not at once"); // one tick
  Math.random.mock.mockImplementation(() => 0.999999);
  assert.deepEqual([waits(), waits()], [30_000, 30_000]);
  page.socket.open();
  assert.equal(waits(), 30_000, "an open connection is no welcome");
  page.socket.welcome();
  assert.equal(waits(), 500);
});

test("fifty seconds of silence break the connection; heartbeats keep it", async (t) => {
  const page = await load(t);
  const first = page.socket;
  first.welcome();
  for (let i = 0; i < 10; i++) {
    page.tick(49_999);
    first.hear({ type: "heartbeat" });
  }
  assert.equal(page.sockets.length, 1);
  page.tick(50_000);
  assert.ok(first.closed);
  page.tick(250);
  assert.equal(page.sockets.length, 2);
  first.break(4000); // what the old one says now is of no interest
  first.hear({ type: "changed", reason: "revoked" });
  page.tick(10_000);
  assert.equal(page.shown.length, 0);
  assert.equal(page.sockets.length, 2);
});

test("a connection that never opens is given up after fifty seconds", async (t) => {
  const page = await load(t);
  page.tick(50_000);
  assert.ok(page.sockets[0].closed);
  page.tick(250);
  assert.equal(page.sockets.length, 2);
});

test("a timer that was held back first hears what came meanwhile", async (t) => {
  const page = await load(t);
  page.socket.welcome();
  t.mock.timers.setTime(Date.now() + 3_600_000); // the machine slept for an hour
  page.tick(50_000);
  assert.equal(page.sockets.length, 1);
  page.socket.hear({ type: "heartbeat" });
  page.tick(49_999);
  assert.equal(page.sockets.length, 1);
  t.mock.timers.setTime(Date.now() + 3_600_000);
  page.tick(1);
  assert.equal(page.sockets.length, 1);
  t.mock.timers.setTime(Date.now() + 3_600_000); // and again: nothing has come, so it is broken
  page.tick(50_000);
  page.tick(250);
  assert.equal(page.sockets.length, 2);
});

test("a hidden tab keeps its connection", async (t) => {
  const page = await load(t);
  page.socket.welcome();
  page.visible(false);
  page.tick(10_000);
  page.visible(true);
  page.tick(10_000);
  assert.equal(page.sockets.length, 1);
  assert.ok(!page.socket.closed);
});

test("a page that is shown again, or online again, reconnects soon", async (t) => {
  const page = await load(t);
  for (let i = 0; i < 20; i++) {
    page.socket.break();
    if (page.sockets.length === i + 1) page.tick(15_000);
  }
  const n = page.sockets.length;
  page.socket.break();
  page.visible(false);
  page.tick(250);
  assert.equal(page.sockets.length, n, "hidden: no hurry");
  page.visible(true);
  page.fire("online");
  page.tick(250);
  assert.equal(page.sockets.length, n + 1);
  page.tick(15_000);
  assert.equal(page.sockets.length, n + 1, "one of them is enough");
  page.socket.break();
  page.visible(false);
  page.fire("online");
  page.tick(250);
  assert.equal(page.sockets.length, n + 2, "online: also when hidden");
  page.fire("online");
  page.tick(250);
  assert.equal(page.sockets.length, n + 2, "there is one");
});

test("a page in the back/forward cache has no connection, and one again when it comes back", async (t) => {
  const page = await load(t);
  const first = page.socket;
  first.welcome();
  page.fire("pageshow", { persisted: false });
  assert.equal(page.sockets.length, 1);
  page.fire("pagehide", { persisted: true });
  assert.ok(first.closed);
  first.break(1006);
  page.tick(1_000_000);
  assert.equal(page.sockets.length, 1);
  page.fire("pageshow", { persisted: true });
  assert.equal(page.sockets.length, 2);
  page.socket.open();
  assert.deepEqual(page.socket.sent, [hello("tab-of-the-page-0123456", "mark-of-42")]);
  page.socket.hear({ type: "changed", reason: "changed" });
  page.tick(2_000);
  assert.equal(page.reloads, 1);
});

test("a closed client neither reconnects nor restarts, until it starts again", async (t) => {
  const page = await load(t);
  page.socket.welcome();
  page.socket.hear({ type: "changed", reason: "expired" });
  page.client.close();
  page.tick(1_000_000);
  page.fire("online");
  page.tick(1_000_000);
  assert.equal(page.sockets.length, 1);
  assert.equal(page.reloads, 0);
  page.client.start();
  assert.equal(page.sockets.length, 2);
  page.socket.open();
  assert.deepEqual(page.socket.sent, [hello("tab-of-the-page-0123456", "mark-of-42")]);
});

test("messages of the application reach those who listen", async (t) => {
  const page = await load(t);
  page.socket.welcome();
  const failures = [];
  const queue = globalThis.queueMicrotask;
  t.mock.method(globalThis, "queueMicrotask", (f) => queue(() => {
    try { f(); } catch (error) { failures.push(error.message); }
  }));
  const heard = [];
  page.client.on("order", () => { throw new Error("a bug of the application"); });
  const off = page.client.on("order", (data) => heard.push(data));
  page.client.on("other", (data) => heard.push(data));
  page.socket.hear({ type: "event", event: "order", data: { id: 1 } });
  page.socket.hear({ type: "event", event: "nobody listens", data: 1 });
  await page.settle();
  off();
  page.socket.hear({ type: "event", event: "order", data: { id: 2 } });
  page.socket.hear({ type: "event", event: "other", data: null });
  await page.settle();
  assert.deepEqual(heard, [{ id: 1 }, null]);
  assert.deepEqual(failures, ["a bug of the application", "a bug of the application"]);
});

test("what the client does not know it passes over", async (t) => {
  const page = await load(t);
  page.socket.welcome();
  for (const message of ["", "{", "null", "3", "[]", "{}", '{"type":"later","user":"7"}', '{"type":"event"}']) page.socket.hear(message);
  page.tick(2_000);
  assert.equal(page.client.user, "42");
  assert.equal(page.reloads, 0);
  assert.equal(page.sockets.length, 1);
});
