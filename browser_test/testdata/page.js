import sojourn, { on } from "/_sojourn/client.js";

window.sojourn = sojourn;

on("order", (order) => {
  const item = document.createElement("li");
  item.textContent = order.title;
  document.querySelector("#orders").append(item);
});
