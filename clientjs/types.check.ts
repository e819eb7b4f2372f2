// Checked by tsc, never run: what the declarations promise to callers.
import sojourn, {
  call, connectedFun, connectedRPC, connectedWrapper, disconnectAll, fetch, isNotConnected, on, onConnectionChanged,
  optConnectedRPC, SojournError, start,
} from "./client.js";
import type { Client, Reason, StartOptions } from "./client.js";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Same<A, B>) => {};

interface Todo { id: number; title: string }

export async function promises() {
  const todo = await call<Todo, { title: string }>("todo.add", { title: "bread" }, { signal: AbortSignal.timeout(1000) });
  same<typeof todo, Todo>(true);
  same<Awaited<ReturnType<typeof call>>, unknown>(true);
  // @ts-expect-error the argument is not the one declared
  await call<Todo, { title: string }>("todo.add", { name: "bread" });

  const user: string = sojourn.user;
  // @ts-expect-error the server says who is connected
  sojourn.user = "42";
  same<typeof sojourn, Client>(true);
  same<Awaited<ReturnType<typeof sojourn.fetch>>, Response>(true);
  await fetch(new URL("/orders", location.href), { method: "POST", body: user });
  await disconnectAll();
  await disconnectAll({ keepUserIndependent: true });

  const greet = connectedFun((user, get: { page: number }, post: string) => `${user} ${get.page} ${post}`);
  same<typeof greet, (get: { page: number }, post: string) => Promise<string>>(true);
  const double = connectedRPC(async (_user, n: number) => 2 * n);
  same<typeof double, (input: number) => Promise<number>>(true);
  same<ReturnType<typeof connectedWrapper<[number], Promise<string>>>, (n: number) => Promise<string>>(true);
  same<ReturnType<typeof optConnectedRPC<number, string>>, (input: number) => Promise<string>>(true);
}

export function changes() {
  onConnectionChanged((reason) => same<typeof reason, Reason>(true));
  // @ts-expect-error there is no such reason
  onConnectionChanged((reason) => reason === "tired");
  const off = on<Todo>("todo", (todo) => todo.title.length);
  off();
  const options: StartOptions = { path: "/s/", baseURL: new URL("https://example.com"), restart: () => {} };
  same<ReturnType<typeof start>, Client>(true);
  start(options).close();
  // @ts-expect-error the tab's id is a string
  start({ tab: 1 });
}

export function errors(error: unknown) {
  if (error instanceof SojournError && error.code === "unavailable") return error.status;
  // @ts-expect-error only the client makes them
  new SojournError("not_connected", "");
  return isNotConnected(error);
}
