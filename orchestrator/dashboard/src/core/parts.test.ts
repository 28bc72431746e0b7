// The small parts: lines and frames as they come in pieces, windows, colours, words.

import { describe, expect, test } from "vitest";
import { wrongImage, wrongReplicas } from "./actions";
import { Hues } from "./colours";
import { Journal, ofEvent, ofTurn } from "./events";
import { inOrder, LogReader } from "./logs";
import { LineCutter } from "./stream";
import { cardHeight, DENSITIES, HEAD, inSight, inSightEven, stack } from "./windows";
import { memory, since } from "./words";

function frame(stream: number, text: string): Uint8Array {
  const payload = new TextEncoder().encode(text);
  const bytes = new Uint8Array(8 + payload.length);
  bytes[0] = stream;
  new DataView(bytes.buffer).setUint32(4, payload.length);
  bytes.set(payload, 8);
  return bytes;
}

test("lines are whole however they were cut", () => {
  const cutter = new LineCutter();
  expect(cutter.push('{"a"')).toEqual([]);
  expect(cutter.push(':1}\n{"b":2}\n\n{"c"')).toEqual(['{"a":1}', '{"b":2}']);
  expect(cutter.push(":3}\n")).toEqual(['{"c":3}']);
});

describe("a log", () => {
  const details = "com.docker.swarm.node.id=n,com.docker.swarm.service.id=s,com.docker.swarm.task.id=t1";

  test("is read frame by frame, in any pieces", () => {
    const bytes = [...frame(1, `2026-01-01T00:00:00Z ${details} héllo\n`), ...frame(2, "bare\n")];
    for (const size of [1, 7, 500]) {
      const reader = new LogReader(true);
      const lines = [];
      for (let at = 0; at < bytes.length; at += size) lines.push(...reader.push(Uint8Array.from(bytes.slice(at, at + size))));
      expect(lines).toEqual([
        { number: 0, stream: "stdout", time: "2026-01-01T00:00:00Z", task: "t1", text: "héllo" },
        { number: 1, stream: "stderr", time: "", task: "", text: "bare" },
      ]);
    }
  });

  test("of a terminal is plain, and its colours are left out", () => {
    const reader = new LogReader(false);
    const text = `2026-01-01T00:00:00Z ${details} \u001b[31mred\u001b[0m\r\nnot yet`;
    expect(reader.push(new TextEncoder().encode(text)).map((line) => line.text)).toEqual(["red"]);
  });
});

test("lines of several tasks are put in the order of their times, equal ones as they came", () => {
  const line = (number: number, time: string) => ({ number, time, stream: "stdout" as const, task: "", text: "" });
  const before = [line(0, "2"), line(1, "4")];
  expect(inOrder(before, [line(2, "3"), line(3, "4")]).map((l) => l.number)).toEqual([0, 2, 1, 3]);
  expect(inOrder(before, [line(2, "4")]).map((l) => l.number)).toEqual([0, 1, 2]);
});

describe("windows", () => {
  test("only rows that touch the window are in sight", () => {
    const tops = stack([100, 50, 200, 100], 10);
    expect([...tops]).toEqual([0, 110, 170, 380, 490]);
    expect(inSight(tops, 0, 100)).toEqual({ first: 0, end: 1 });
    expect(inSight(tops, 115, 180)).toEqual({ first: 1, end: 3 });
    expect(inSight(tops, 400, 9999)).toEqual({ first: 3, end: 4 });
    expect(inSight(stack([], 10), 0, 100)).toEqual({ first: 0, end: 0 });
  });

  test("rows of one height, also behind the end", () => {
    expect(inSightEven(1_000, 50, 500, 750)).toEqual({ first: 10, end: 15 });
    expect(inSightEven(3, 50, 500, 750)).toEqual({ first: 3, end: 3 });
    expect(inSightEven(3, 50, -200, 100)).toEqual({ first: 0, end: 2 });
  });

  test("a card is as high as its tasks and no higher than its density allows", () => {
    expect(cardHeight(3, DENSITIES.cards, 300)).toBe(HEAD + 3 * 64 + 10);
    expect(cardHeight(20, DENSITIES.dots, 180)).toBe(HEAD + 3 * 20 + 10);
    expect(cardHeight(5_000, DENSITIES.rows, 300)).toBe(cardHeight(6_000, DENSITIES.rows, 300));
  });
});

test("services get hues of their own while there are any, the same each time", () => {
  const names = Array.from({ length: 24 }, (_, n) => `service${n}`);
  const [hues, again] = [new Hues(), new Hues()];
  const given = names.map((name) => hues.of(name));
  expect(new Set(given).size).toBe(24);
  expect(names.map((name) => again.of(name))).toEqual(given);
  expect(hues.of("one more")).toBeGreaterThanOrEqual(0);
});

describe("events", () => {
  test("a change is told with what it was and what it is", () => {
    const event = {
      Type: "service", Action: "update", time: 7, timeNano: 7_000_000_000,
      Actor: { ID: "s1", Attributes: { name: "web", "image.old": "web:1@sha256:aa", "image.new": "web:2@sha256:bb", "updatestate.new": "rollback_started" } },
    };
    expect(ofEvent(event)).toEqual({ at: 7_000, kind: "service", id: "s1", name: "web", text: "image web:1 → web:2, update rollback started", grave: true });
    expect(ofEvent({ ...event, Action: "create", Actor: { ID: "s1" } }).text).toBe("created");
  });

  test("of a task only what readers want to know of is told", () => {
    const turn = (State: string, Err = "") => ({
      at: "2026-01-01T00:00:00Z", before: "starting",
      task: { ID: "t", CreatedAt: "", DesiredState: "running", Status: { State, Err, Timestamp: "" } },
    });
    expect(ofTurn(turn("preparing"), "web.1", "w1")).toBeNull();
    expect(ofTurn(turn("failed", "exit 3"), "web.1", "w1")).toMatchObject({ text: "failed on w1: exit 3", grave: true });
  });

  test("what comes late is put where it belongs, and the list stays bounded", () => {
    const journal = new Journal();
    const entry = (at: number) => ({ at, kind: "node", id: "", name: "", text: "", grave: false });
    for (const at of [1, 3, 2]) journal.add(entry(at));
    expect(journal.list.map((h) => h.at)).toEqual([3, 2, 1]);
    for (let at = 4; at < 3_000; at += 1) journal.add(entry(at));
    expect(journal.list.length).toBe(2_000);
    expect(journal.list[0]?.at).toBe(2_999);
  });
});

test("what may be typed is judged before it is sent", () => {
  expect([wrongReplicas("3"), wrongReplicas("0")]).toEqual(["", ""]);
  for (const text of ["", "-1", "1.5", "x", "1e9"]) expect(wrongReplicas(text)).not.toBe("");
  expect(wrongImage("registry.example:5000/shop/web:2")).toBe("");
  expect(wrongImage("two words")).not.toBe("");
});

test("times and sizes are read as people read them", () => {
  const at = Date.parse("2026-01-02T00:00:00Z");
  expect(since("2026-01-01T23:59:18Z", at)).toBe("42 s");
  expect(since("2026-01-01T20:00:00Z", at)).toBe("4 h");
  expect(since(undefined, at)).toBe("");
  expect([memory(16 * 2 ** 30), memory(512 * 2 ** 20), memory(0)]).toEqual(["16.0 GiB", "512 MiB", ""]);
});
