import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const here = fileURLToPath(new URL(".", import.meta.url));

test("where there is no page the module loads and does nothing", async () => {
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", `
    const { default: sojourn, call, start } = await import(${JSON.stringify(new URL("client.js", import.meta.url).href)});
    start().close();
    const error = await call("f").catch((e) => e);
    console.log(JSON.stringify([sojourn.user, sojourn.tab, error.code]));`]);
  assert.deepEqual(JSON.parse(stdout), ["", "", "network"]);
});

test("the package is the module, its types, its README and its license", async () => {
  const { stdout } = await run("npm", ["pack", "--dry-run", "--json"], { cwd: here });
  const [{ name, files }] = JSON.parse(stdout);
  assert.equal(name, "@sojourn-go/client");
  assert.deepEqual(files.map((f) => f.path).sort(), ["LICENSE", "README.md", "client.d.ts", "client.js", "package.json"]);
});

test("the package is imported by its name", async () => {
  const module = await import("@sojourn-go/client");
  assert.equal(module, await import("./client.js"));
});

test("the declarations name exactly what there is", async () => {
  const { default: ts } = await import("typescript");
  const file = `${here}client.d.ts`;
  const program = ts.createProgram([file], {});
  const checker = program.getTypeChecker();
  const values = (symbols) => symbols
    .filter((s) => (s.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(s) : s).flags & ts.SymbolFlags.Value)
    .map((s) => s.name).sort();
  const exports = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(file)));
  const module = await import("./client.js");
  assert.deepEqual(values(exports), Object.keys(module).sort());
  const client = checker.getDeclaredTypeOfSymbol(exports.find((s) => s.name === "Client"));
  assert.deepEqual(client.getProperties().map((s) => s.name).sort(), Object.keys(module.default).sort());
  for (const name of Object.keys(module)) if (name !== "default") assert.equal(module[name], module.default[name], name);
});

test("the declared reasons are those that the client knows", async () => {
  const [types, script] = await Promise.all(["client.d.ts", "client.js"].map((f) => readFile(here + f, "utf8")));
  const declared = types.match(/type Reason =([^;]+);/)[1].match(/"[^"]+"/g).map((s) => s.slice(1, -1));
  const known = script.match(/REASONS = "([^"]+)"/)[1].split(" ");
  assert.deepEqual(declared, [...known, "changed"]);
});
