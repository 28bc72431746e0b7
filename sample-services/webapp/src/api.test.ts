// What is made of answers, without a network.

import { afterEach, expect, test, vi } from "vitest";
import { nextPage } from "./api";
import { hueOf } from "./colour";
import { Shelf, type Product } from "./shelf";

afterEach(() => vi.unstubAllGlobals());

function answering(...answers: (Response | Error)[]) {
  const ask = vi.fn(async () => {
    const next = answers.shift();
    if (!next || next instanceof Error) throw next ?? new Error("nothing left to answer");
    return next;
  });
  vi.stubGlobal("fetch", ask);
  return ask;
}

const json = (body: unknown, status = 200, headers: Record<string, string> = {}) =>
  new Response(JSON.stringify(body), { status, headers: { "x-instance": "host-1", "x-version": "2", ...headers } });

const product = (id: string) => ({ id, name: `product ${id}` });

test("a list says who answered and where older documents are", async () => {
  answering(json([product("b")], 200, { "x-total-count": "2", link: '</Products?limit=50&before=1>; rel="next"' }), json([product("a")]), json([product("c"), product("b")]));
  const shelf = new Shelf<Product>("/Products");
  await shelf.load();
  expect([shelf.total, shelf.next]).toEqual([2, "/Products?limit=50&before=1"]);
  expect(shelf.last).toMatchObject({ instance: "host-1", version: "2" });
  await shelf.loadOlder();
  await shelf.load();
  expect(shelf.documents?.map(({ id }) => id)).toEqual(["c", "b", "a"]);
});

test("a failure keeps what is shown and says why in words", async () => {
  answering(json([product("a")]), json({ error: "the database cannot be reached", reason: "refused" }, 503), new TypeError("failed"));
  const shelf = new Shelf<Product>("/Products");
  await shelf.load();
  await shelf.load();
  expect(shelf.failure).toBe("the database cannot be reached: refused");
  expect(shelf.last).toEqual({ failed: "503 from host-1" });
  await shelf.load();
  expect(shelf.failure).toBe("the gateway cannot be reached");
  expect(shelf.documents).toHaveLength(1);
});

test("what is wrong with a new document is known field by field", async () => {
  answering(json({ error: "invalid", fields: { name: "must not be empty" } }, 400));
  const refused = await new Shelf<Product>("/Products").add({ name: "" }).catch((error: unknown) => error);
  expect(refused).toMatchObject({ message: "invalid", fields: { name: "must not be empty" } });
});

test("two versions are seen while a roll-out goes on", async () => {
  answering(json([]), json([], 200, { "x-version": "1" }), json([]));
  const shelf = new Shelf<Product>("/Products");
  for (let n = 0; n < 3; n += 1) await shelf.load();
  expect(shelf.versions).toEqual(["1", "2"]);
});

test("small parts", () => {
  expect(nextPage('<a>; rel="prev", <b>; rel="next"')).toBe("b");
  expect(nextPage(null)).toBeNull();
  expect(hueOf("host-1")).toBe(hueOf("host-1"));
});
