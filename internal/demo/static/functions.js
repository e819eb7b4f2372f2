// The page of functions. Its counterpart in Go is wasmpage/main.go.
import sojourn, { call, disconnect, isNotConnected, isPermissionDenied } from "/_sojourn/client.js";

const $ = (selector) => document.querySelector(selector);

const functions = {
  tab: () => call("count", "tab-persistent"),
  session: () => call("count", "session-persistent"),
  user: () => call("count", "user-persistent"),
  greet: () => call("greet", "Good evening"),
  accounts: async () => (await call("accounts", {})).join(", "),
  wave: async () => (await call("wave", $("[data-text]").value)) && "every tab of yours has it",
  disconnect: async () => (await disconnect(), "done: this tab is nobody's now"),
};

const explain = (error) => {
  if (isNotConnected(error)) return "nobody is connected";
  if (isPermissionDenied(error)) return "not for your groups";
  return error.message;
};

const showTab = () => {
  $("[data-me]").hidden = false;
  $("[data-shown-tab]").textContent = sojourn.tab ? `${sojourn.tab.slice(0, 8)}…` : "new";
  const user = $("[data-shown-user]");
  user.textContent = sojourn.user ? user.dataset.shownUser : "nobody";
  document.body.classList.toggle("left", !sojourn.user);
};

for (const button of document.querySelectorAll("[data-call]")) {
  const name = button.dataset.call;
  const answer = $(`[data-answer="${name}"]`);
  button.disabled = false;
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      answer.value = await functions[name]();
      answer.className = "";
    } catch (error) {
      answer.replaceChildren(Object.assign(document.createElement("code"), { textContent: error.code ?? error.name }), ` ${explain(error)}`);
      answer.className = "wrong";
    }
    button.disabled = false;
    showTab();
  });
}
showTab();
