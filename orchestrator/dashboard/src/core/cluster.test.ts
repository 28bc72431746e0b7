// What the page knows of the cluster after lines of `/watch`.

import { describe, expect, test } from "vitest";
import { Cluster, Intake } from "./cluster";
import type { Change, Node, Service, Task } from "./objects";

const node = (id: string, role = "worker"): Node => ({
  ID: id, Spec: { Role: role, Availability: "active" }, Description: { Hostname: id }, Status: { State: "ready" },
});
const service = (id: string, replicas: number, more: Partial<Service> = {}): Service => ({
  ID: id, CreatedAt: "2026-01-01T00:00:00Z", Spec: { Name: id, Mode: { Replicated: { Replicas: replicas } } }, ...more,
});
const task = (id: string, more: Partial<Task> = {}, state = "running", err = ""): Task => ({
  ID: id, CreatedAt: "2026-01-01T00:00:00Z", ServiceID: "web", NodeID: "w1", Slot: 1, DesiredState: "running",
  Status: { State: state, Timestamp: "2026-01-01T00:00:00Z", Err: err }, ...more,
});
const put = (Kind: string, object: { ID: string }): Change => ({ Kind, ID: object.ID, Action: "update", Object: object });
const gone = (Kind: string, ID: string): Change => ({ Kind, ID, Action: "remove" });

describe("the cluster", () => {
  test("a task is where its node is, and only there once it has moved or gone", () => {
    const all = new Cluster();
    all.apply([put("task", task("a", { NodeID: "" }, "pending")), put("task", task("b"))]);
    expect([...all.tasksOn("").keys()]).toEqual(["a"]);
    all.apply([put("task", task("a"))]);
    expect([...all.tasksOn("").keys()]).toEqual([]);
    expect([...all.tasksOn("w1").keys()]).toEqual(["b", "a"]);
    all.apply([gone("task", "b")]);
    expect([...all.tasksOn("w1").keys()]).toEqual(["a"]);
    expect(all.tasksOf("web").size).toBe(1);
  });

  test("what has ended and is not wanted is not in the picture but in the history", () => {
    const all = new Cluster();
    all.apply([put("task", task("a", { DesiredState: "shutdown" }, "failed")), put("task", task("b", { DesiredState: "shutdown" }))]);
    expect([...all.tasksOn("w1").keys()]).toEqual(["b"]);
    expect(all.tasksOf("web").size).toBe(2);
  });

  test("replicas are counted against the spec, reasons most frequent first", () => {
    const all = new Cluster();
    all.apply([
      put("service", service("web", 5)),
      put("task", task("a")),
      put("task", task("b", {}, "pending", "no suitable node")),
      put("task", task("c", {}, "pending", "no suitable node")),
      put("task", task("d", {}, "preparing")),
      put("task", task("e", { DesiredState: "shutdown" }, "failed", "exit 1")),
    ]);
    const tally = all.tally("web");
    expect([tally.running, tally.wanted]).toEqual([1, 5]);
    expect(tally.reasons).toEqual([{ text: "no suitable node", tasks: 2 }, { text: "preparing", tasks: 1 }]);
    expect(all.totals()).toMatchObject({ wanted: 5, running: 1, short: 1 });
    all.apply([put("task", task("b")), put("task", task("c")), put("task", task("d"))]);
    expect(all.totals()).toMatchObject({ running: 4 });
  });

  test("a roll-out is as far as tasks created since its start run", () => {
    const all = new Cluster();
    all.apply([
      put("service", service("web", 3, { UpdateStatus: { State: "updating", StartedAt: "2026-01-02T00:00:00Z" } })),
      put("task", task("old")),
      put("task", task("new", { CreatedAt: "2026-01-02T00:00:01Z" })),
      put("task", task("next", { CreatedAt: "2026-01-02T00:00:05Z" }, "starting")),
    ]);
    expect([all.tally("web").renewedRunning, all.tally("web").renewed]).toEqual([1, 2]);
  });

  test("managers come first, then names as people count", () => {
    const all = new Cluster();
    all.apply(["w10", "w2", "w1"].map((id) => put("node", node(id))));
    all.apply([put("node", node("x1", "manager"))]);
    expect(all.listNodes().map((n) => n.ID)).toEqual(["x1", "w1", "w2", "w10"]);
  });

  test("a task's turn is told once", () => {
    const all = new Cluster();
    all.apply([put("task", task("a", {}, "starting"))]);
    expect(all.takeTurns()).toEqual([]);
    all.apply([put("task", task("a"))]);
    expect(all.takeTurns().map((turn) => [turn.before, turn.task.Status.State])).toEqual([["starting", "running"]]);
    expect(all.takeTurns()).toEqual([]);
  });
});

describe("the intake", () => {
  test("a reset is seen when it is whole, not before", () => {
    const intake = new Intake();
    intake.take({ Revision: 5, Reset: true, Changes: [put("node", node("w1"))] });
    intake.take({ Revision: 0, Reset: true, Changes: [put("node", node("w2"))] });
    expect([...intake.cluster.nodes.keys()]).toEqual(["w1"]);
    intake.take({ Revision: 9, Changes: [put("node", node("w3"))] });
    expect([...intake.cluster.nodes.keys()]).toEqual(["w2", "w3"]);
    expect(intake.revision).toBe(9);
  });

  test("half a reset is forgotten with its connection", () => {
    const intake = new Intake();
    intake.take({ Revision: 5, Reset: true, Changes: [put("node", node("w1"))] });
    intake.take({ Revision: 0, Reset: true, Changes: [] });
    intake.begin();
    intake.take({ Revision: 6, Changes: [put("node", node("w2"))] });
    expect([...intake.cluster.nodes.keys()]).toEqual(["w1", "w2"]);
  });
});
