// Runs in every page of a test before anything else: notes what happens to the
// page, so that the test can ask. sessionStorage outlives a restart; of a tab
// that is on its way to another page only localStorage can be asked.
(() => {
  try {
    sessionStorage.length;
  } catch {
    return; // about:blank
  }
  window.noted = (what) => JSON.parse(sessionStorage[what] ?? "[]");
  const note = (what, value) => { sessionStorage[what] = JSON.stringify([...noted(what), value]); };
  window.clock = () => performance.timeOrigin + performance.now();
  note("loads", performance.getEntriesByType("navigation")[0]?.type ?? "");
  document.addEventListener("securitypolicyviolation", (e) => note("violations", `${e.effectiveDirective} ${e.blockedURI}`));
  window.addEventListener("error", (e) => note("failures", String(e.message)));
  window.addEventListener("unhandledrejection", (e) => note("failures", String(e.reason)));
  // The message is there for two seconds, of which a slow machine may miss all.
  let shown;
  new MutationObserver(() => {
    const message = document.querySelector("[role=alert]");
    if (!message || message === shown) return;
    shown = message;
    const { position, color } = getComputedStyle(message);
    note("messages", { text: message.textContent, user: document.body.dataset.user ?? "", style: `${position} ${color}` });
  }).observe(document, { childList: true, subtree: true });
  window.live = ""; // what the live connection of this page said last, but for heartbeats and events
  window.WebSocket = class extends WebSocket {
    constructor(...args) {
      super(...args);
      this.addEventListener("message", ({ data }) => {
        const { type, user, reason } = JSON.parse(data);
        if (type === "changed") {
          window.toldAt = clock();
          setTimeout(() => { localStorage.told = document.querySelector("[role=alert]") ? "and says so" : "and is silent"; }, 0);
        }
        if (type === "heartbeat" || type === "event") return;
        window.live = type === "welcome" ? `welcome ${user}` : `${type} ${reason}`;
        note("live", window.live);
      });
      this.addEventListener("close", ({ code }) => note("closes", code));
    }
  };
})();
