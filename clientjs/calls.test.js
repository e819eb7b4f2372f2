import assert from "node:assert/strict";
import { test } from "node:test";
import { json, load } from "./fakepage.js";

const TAB = "tab-of-the-page-0123456";

test("a call posts JSON as this tab, and answers JSON", async (t) => {
  const page = await load(t);
  page.answer = () => json({ id: 3, title: "bread" });
  assert.deepEqual(await page.client.call("todo.add", { title: "bread" }), { id: 3, title: "bread" });
  const [request] = page.requests;
  assert.equal(request.method, "POST");
  assert.equal(request.url, "http://shop.test/_sojourn/rpc/todo.add");
  assert.equal(request.headers.get("Content-Type"), "application/json");
  assert.equal(request.headers.get("Sojourn-Tab"), TAB);
  assert.equal(request.credentials, "include");
  assert.equal(request.text(), '{"title":"bread"}');
});

test("a name is one segment of the path, and no argument is null", async (t) => {
  const page = await load(t, { tag: { sojourn: "/s/" } });
  page.answer = () => json(null);
  assert.equal(await page.module.call("a/b?c#d é"), null);
  assert.equal(page.requests[0].url, "http://shop.test/s/rpc/a%2Fb%3Fc%23d%20%C3%A9");
  assert.equal(page.requests[0].text(), "null");
  await page.module.call("zero", 0);
  assert.equal(page.requests[1].text(), "0");
});

test("an error of the server has its code, message and status", async (t) => {
  const page = await load(t);
  const { SojournError, isNotConnected, isPermissionDenied } = page.module;
  for (const [code, status, who, denied] of [["not_connected", 401, true, false], ["session_ended", 401, false, false],
    ["permission_denied", 403, false, true], ["sold_out", 422, false, false]]) {
    page.answer = () => json({ error: { code, message: "sojourn: why" } }, { status });
    const error = await page.client.call("f").catch((e) => e);
    assert.ok(error instanceof SojournError && error instanceof Error);
    assert.equal(error.name, "SojournError");
    assert.deepEqual([error.code, error.status, error.message], [code, status, "sojourn: why"]);
    assert.deepEqual([isNotConnected(error), isPermissionDenied(error)], [who, denied]);
  }
  assert.equal(isNotConnected(undefined), false);
  assert.equal(isPermissionDenied(null), false);
});

test("what is not an answer of sojourn is an error with a code, too", async (t) => {
  const page = await load(t);
  for (const [answer, code, status] of [
    [() => new Response("<h1>Bad Gateway</h1>", { status: 502 }), "unavailable", 502],
    [() => new Response("<h1>No server</h1>", { status: 503 }), "unavailable", 503],
    [() => new Response("", { status: 504 }), "unavailable", 504],
    [() => new Response("null", { status: 500 }), "internal", 500],
    [() => new Response("", { status: 404 }), "internal", 404],
    [() => new Response("<h1>Welcome</h1>"), "network", 200],
    [() => { throw new TypeError("Failed to fetch"); }, "network", 0],
  ]) {
    page.answer = answer;
    const error = await page.client.call("f").catch((e) => e);
    assert.ok(error instanceof page.module.SojournError);
    assert.deepEqual([error.code, error.status], [code, status]);
    if (code === "network") assert.ok(error.cause instanceof Error);
  }
});

test("a call can be given up", async (t) => {
  const page = await load(t);
  page.answer = ({ signal }) => new Promise((_, no) => { signal.onabort = () => no(signal.reason); });
  const reason = new Error("never mind");
  const controller = new AbortController();
  const call = page.client.call("slow", null, { signal: controller.signal });
  await page.settle();
  controller.abort(reason);
  await assert.rejects(call, reason);
});

test("an argument that cannot be JSON is the caller's error", async (t) => {
  const page = await load(t);
  await assert.rejects(page.client.call("f", 1n), TypeError);
  assert.equal(page.requests.length, 0);
});

test("the tab's id is the one that the last answer brought", async (t) => {
  const page = await load(t);
  page.socket.welcome();
  page.answer = () => json(null, { headers: { "Sojourn-Tab": "another-id-0123456789012" } });
  await page.client.call("f");
  assert.equal(page.client.tab, "another-id-0123456789012");
  page.tick(1);
  assert.deepEqual(page.socket.sent.at(-1), { type: "hello", tab: "another-id-0123456789012", mark: "mark-of-42" });
  await page.client.call("f");
  page.answer = () => json(null);
  await page.client.call("f");
  page.tick(1);
  assert.equal(page.client.tab, "another-id-0123456789012");
  assert.equal(page.requests[1].headers.get("Sojourn-Tab"), "another-id-0123456789012");
  assert.equal(page.socket.sent.length, 2, "no hello for an id that has not changed");
});

test("an error's answer brings the tab's id as well", async (t) => {
  const page = await load(t, { tag: { tab: "" } });
  page.answer = () => json({ error: { code: "not_connected" } }, { status: 401, headers: { "Sojourn-Tab": "another-id-0123456789012" } });
  await assert.rejects(page.client.call("f"), { code: "not_connected" });
  assert.equal(page.client.tab, "another-id-0123456789012");
});

test("calls made together by a page without a tab are of one tab", async (t) => {
  const page = await load(t, { tag: { tab: "" } });
  let n = 0;
  page.answer = (request) => json(null, { headers: request.headers.has("Sojourn-Tab") ? {} : { "Sojourn-Tab": `id-number-${n++}-of-this-page` } });
  await Promise.all([page.client.call("a"), page.client.call("b"), page.client.call("c")]);
  assert.deepEqual(page.requests.map((r) => r.headers.get("Sojourn-Tab")), [null, "id-number-0-of-this-page", "id-number-0-of-this-page"]);
});

test("a call that fails spoils no other", async (t) => {
  const page = await load(t, { tag: { tab: "" } });
  page.answer = ({ url }) => { if (url.endsWith("a")) throw new TypeError("Failed to fetch"); return json(3); };
  const calls = await Promise.allSettled([page.client.call("a"), page.client.call("b")]);
  assert.deepEqual(calls.map((c) => c.value ?? c.reason.code), ["network", 3]);
});

test("calls of a page with a tab do not wait for one another", async (t) => {
  const page = await load(t);
  const answers = [];
  page.answer = () => new Promise((done) => answers.push(done));
  page.client.call("a");
  page.client.call("b");
  await page.settle();
  assert.equal(answers.length, 2);
});

test("a call does not wait for ever for the one that is to bring the tab's id", async (t) => {
  const page = await load(t, { tag: { tab: "" } });
  let signalled;
  page.answer = (request) => request.url.endsWith("wait") ? new Promise((done) => { signalled = () => done(json("yes")); }) : (signalled(), json(null));
  const wait = page.client.call("wait");
  await page.settle();
  const signal = page.client.call("signal");
  await page.settle();
  page.tick(1_000);
  await signal;
  assert.equal(await wait, "yes");
});

test("Sojourn-Restart restarts this client, once its caller has its answer", async (t) => {
  const page = await load(t);
  page.socket.welcome();
  const order = [];
  page.client.onRestart(() => order.push("restart"));
  page.answer = () => json(null, { status: 204, headers: { "Sojourn-Restart": "1" } });
  await page.client.disconnectAll();
  order.push("answer");
  page.tick(1);
  assert.deepEqual(order, ["answer", "restart"]);
  assert.ok(page.socket.closed);
  page.tick(1_000_000);
  assert.equal(page.sockets.length, 1);
  assert.equal(page.reloads, 0);
  assert.equal(page.requests[0].text(), '{"keepUserIndependent":false}');
  assert.equal(page.requests[0].url, "http://shop.test/_sojourn/disconnect-all");
});

test("disconnectAll keeps user-independent state when told to", async (t) => {
  const page = await load(t);
  page.answer = () => json(null, { status: 204 });
  await page.client.disconnectAll({ keepUserIndependent: true });
  assert.equal(page.requests[0].text(), '{"keepUserIndependent":true}');
});

test("after disconnect the page is nobody's, and its tab is told in that name", async (t) => {
  const page = await load(t);
  page.socket.welcome();
  page.answer = () => json(null, { status: 204, headers: { "Sojourn-Tab": "another-id-0123456789012" } });
  assert.equal(await page.client.disconnect(), undefined);
  assert.equal(page.client.user, "");
  page.tick(1);
  assert.deepEqual(page.socket.sent.at(-1), { type: "hello", tab: "another-id-0123456789012", mark: "" });
  assert.equal(page.requests[0].url, "http://shop.test/_sojourn/disconnect");
  assert.equal(page.requests[0].text(), "{}");
  assert.equal(page.reloads, 0);
});

test("a disconnect that failed leaves the user", async (t) => {
  const page = await load(t);
  page.answer = () => json({ error: { code: "unavailable", message: "later" } }, { status: 503 });
  await assert.rejects(page.client.disconnect(), { code: "unavailable", status: 503 });
  assert.equal(page.client.user, "42");
});

test("fetch makes a request to the site one of this tab", async (t) => {
  const page = await load(t);
  page.socket.welcome();
  page.answer = () => new Response("hi", { headers: { "Sojourn-Tab": "another-id-0123456789012", "Sojourn-Restart": "1" } });
  const response = await page.module.fetch("http://shop.test/login", { method: "POST", body: "x", headers: { "X-Mine": "1" } });
  assert.equal(await response.text(), "hi");
  const [request] = page.requests;
  assert.deepEqual([request.method, request.text(), request.headers.get("X-Mine"), request.headers.get("Sojourn-Tab")], ["POST", "x", "1", TAB]);
  assert.equal(page.client.tab, "another-id-0123456789012");
  page.tick(1);
  assert.equal(page.reloads, 1);
});

test("fetch from another origin tells it nothing and takes nothing from it", async (t) => {
  const page = await load(t);
  page.answer = () => new Response("hi", { headers: { "Sojourn-Tab": "another-id-0123456789012", "Sojourn-Restart": "1" } });
  await page.client.fetch("http://evil.test/_sojourn/rpc/f");
  await page.client.fetch(new Request("https://shop.test/"));
  for (const request of page.requests) assert.equal(request.headers.get("Sojourn-Tab"), null);
  page.answer = () => Object.defineProperty(
    new Response("hi", { headers: { "Sojourn-Tab": "another-id-0123456789012" } }), "url", { value: "http://evil.test/" });
  await page.client.fetch("http://shop.test/redirects");
  assert.equal(page.client.tab, TAB);
  page.tick(10_000);
  assert.equal(page.reloads, 0);
});

test("wrappers give the user and check nothing", async (t) => {
  const page = await load(t);
  const { connectedFun, connectedRPC, connectedWrapper, optConnectedFun, optConnectedRPC } = page.module;
  assert.deepEqual(await connectedFun((...args) => args)({ page: 1 }, "post"), ["42", { page: 1 }, "post"]);
  assert.deepEqual(await connectedRPC(async (user, n) => [user, n])(3), ["42", 3]);
  assert.deepEqual(await connectedWrapper((...args) => args)(3), [3]);
  assert.deepEqual(await optConnectedFun((...args) => args)(1, 2), ["42", 1, 2]);
  assert.deepEqual(await optConnectedRPC((...args) => args)(1), ["42", 1]);
  assert.equal(page.requests.length, 0);
  await assert.rejects(connectedRPC(() => { throw new Error("mine"); })(), { message: "mine" });
});

test("with nobody connected the connected wrappers throw, and the opt ones give nobody", async (t) => {
  const page = await load(t, { tag: { user: "", mark: "" } });
  const { connectedFun, connectedRPC, connectedWrapper, optConnectedFun, optConnectedRPC } = page.module;
  const f = t.mock.fn();
  await assert.rejects(connectedFun(f)(1, 2), { code: "not_connected", name: "SojournError" });
  await assert.rejects(connectedRPC(f)(1), { code: "not_connected" });
  assert.equal(f.mock.callCount(), 0);
  assert.deepEqual(await optConnectedFun((...args) => args)(1), ["", 1]);
  assert.deepEqual(await optConnectedRPC((...args) => args)(1), ["", 1]);
  assert.deepEqual(await connectedWrapper((x) => x)(1), 1);
  page.socket.welcome("7", "mark-of-7");
  assert.equal(await connectedRPC((user) => user)(), "7");
});
