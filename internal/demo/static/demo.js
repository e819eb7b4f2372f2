// What every page of the demo does with JavaScript: it shows what changes
// elsewhere. Without it the same pages work, by loading them again.
import sojourn, { on, onConnectionChanged, restart } from "/_sojourn/client.js";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => root.querySelectorAll(selector);

const element = (name, { className = "", ...attributes } = {}, ...children) => {
  const e = document.createElement(name);
  if (className) e.className = className;
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  e.append(...children);
  return e;
};

// This page's user connected or disconnected elsewhere.

const reasons = {
  connected: "Somebody signed in in another tab.",
  disconnect: "You signed out in another tab.",
  "disconnect-all": "You signed out everywhere.",
  revoked: "This session was ended from elsewhere.",
  expired: "This session has expired.",
  evicted: "You have too many sessions; this one was used least.",
  replaced: "Somebody signed in in another tab.",
  "user-gone": "This account is deleted.",
};

onConnectionChanged((reason) => {
  document.body.append(
    element("div", { className: "changed", role: "alert", "data-reason": reason },
      element("strong", {}, "Connection has changed"),
      element("span", {}, reasons[reason] ?? "This page is older than the browser's session.", " It starts again in two seconds."),
      element("i", { "aria-hidden": "true" })),
  );
  setTimeout(() => {
    // The answer to a form is not asked for again: that would send the form.
    if ("answer" in document.body.dataset) location.replace(location.href);
    else restart();
  }, 2000);
});

// How many tabs are open, of everybody and of each session.

on("tabs", (open) => {
  for (const e of $$("[data-open-tabs]")) {
    e.value = open;
    const unit = e.nextElementSibling;
    unit.textContent = open === 1 ? unit.dataset.one : unit.dataset.many;
  }
});

on("session-tabs", (counts) => {
  for (const e of $$("[data-session-tabs]")) e.value = counts[e.dataset.sessionTabs] ?? 0;
});

// Messages of the user's other tabs.

on("wave", (text) => {
  const toast = element("p", { className: "toast", role: "status" }, element("strong", {}, "A wave: "), element("bdi", {}, text));
  document.body.append(toast);
  setTimeout(() => toast.remove(), 6000);
});

// The timeline, as it happens.

const list = $("[data-requests]");
if (list && "live" in list.dataset) {
  on("timeline", (e) => {
    let request = $(`[data-visit="${CSS.escape(e.visit)}"]`, list);
    if (!request) {
      const heading = element("h2", {}, element("code", {}, e.line));
      if (e.server) {
        heading.append(" ", element("span", { className: `server server-${e.colour}` }, "server ", element("bdi", {}, e.server)));
      }
      heading.append(" ", element("time", { datetime: e.at }, new Date(e.at).toLocaleTimeString("en-GB")));
      request = element("li", { className: "new", "data-visit": e.visit }, heading, element("ol"));
      $(".empty", list)?.remove();
      list.prepend(request);
    }
    const step = element("li", { className: `${e.action} new` }, e.action);
    if (e.user) step.append(" ", element("bdi", {}, e.user));
    if (e.reason) step.append(" ", element("em", {}, e.reason));
    if (e.device) step.append(" ", element("span", {}, e.device));
    $("ol", request).append(step);
  });
}

const endings = $("[data-endings]");
if (endings) {
  on("ended", (e) => {
    $(".empty", endings)?.remove();
    endings.prepend(element("li", { className: "new" }, element("strong", {}, e.reason), ` ${e.device}, ended just now`));
  });
}

// The counters, without leaving the page: then it stays the same tab.

const main = $("main");
if (location.pathname === "/counters") {
  main.addEventListener("submit", async (event) => {
    const form = event.target, button = event.submitter;
    if (form.getAttribute("action") !== "/counters" || !button || "plain" in form.dataset) return;
    event.preventDefault();
    const counter = new FormData(form).get("counter");
    try {
      const response = await sojourn.fetch("/counters", {
        method: "POST", body: new URLSearchParams([["counter", counter], [button.name, button.value]]),
      });
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const table = $("table.counters", page);
      if (!table) throw new Error(`status ${response.status}`);
      $("table.counters").replaceWith(document.adoptNode(table));
      $(`#${CSS.escape(counter)} [value="${button.value}"]`)?.focus();
      for (const row of $$("tr.pressed")) row.classList.remove("pressed");
      $(`#${CSS.escape(counter)}`)?.classList.add("pressed");
    } catch {
      form.dataset.plain = "";
      form.requestSubmit(button); // as without a script
    }
  });
}
