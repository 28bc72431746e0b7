// The cluster as the page knows it: objects by id, tasks by node and by service, counts kept up to date.
//
// Fed by lines of `/watch`. Not reactive on purpose: 20,000 tasks in reactive objects cost more than
// everything else here. Whoever draws is told once a frame that something changed and asks again.

import {
  hasEnded, isShown, isWanted, lookOf, nodeName,
  type Change, type Look, type Node, type Service, type Task, type WatchLine,
} from "./objects";

/** A service's tasks, counted. */
export interface Tally {
  wanted: number;
  running: number;
  looks: Record<Look, number>;
  /** Wanted tasks that were created by the update going on, and those of them that run. */
  renewed: number;
  renewedRunning: number;
  completed: number;
  /** Why wanted tasks do not run, and how many say so; most first. */
  reasons: { text: string; tasks: number }[];
}

/** What happened to a task, for the list of events. */
export interface Turn {
  at: string;
  task: Task;
  before: string;
}

const NO_TASKS: ReadonlyMap<string, Task> = new Map();

/** A task's words for why it does not run. */
export function reasonOf(task: Task): string {
  const { State, Err, Message } = task.Status;
  return Err || (Message && Message !== "started" ? Message : "") || State;
}

export class Cluster {
  readonly nodes = new Map<string, Node>();
  readonly services = new Map<string, Service>();
  readonly tasks = new Map<string, Task>();
  /** Tasks that the picture shows, by node; "" for those without one. */
  private readonly onNode = new Map<string, Map<string, Task>>();
  private readonly ofService = new Map<string, Map<string, Task>>();
  private readonly tallies = new Map<string, Tally>();
  private readonly turns: Turn[] = [];
  /** A list stays the same object while nothing in it changes: who has drawn it need not do so again. */
  private readonly sortedTasks = new Map<string, readonly Task[]>();
  private sortedNodes: Node[] | null = null;
  private sortedServices: Service[] | null = null;
  private countedTotals: Totals | null = null;

  apply(changes: readonly Change[]): void {
    for (const change of changes) {
      const object = change.Action === "remove" ? null : change.Object;
      switch (change.Kind) {
        case "node":
          put(this.nodes, change.ID, object as Node | null);
          this.sortedNodes = null;
          break;
        case "service":
          put(this.services, change.ID, object as Service | null);
          this.tallies.delete(change.ID);
          this.sortedServices = null;
          this.sortedTasks.clear();
          break;
        case "task":
          this.task(change.ID, object as Task | null);
          break;
      }
    }
    if (changes.length > 0) this.countedTotals = null;
  }

  private task(id: string, task: Task | null): void {
    const before = this.tasks.get(id);
    if (before) {
      this.onNode.get(before.NodeID ?? "")?.delete(id);
      this.sortedTasks.delete(before.NodeID ?? "");
      if (!task || task.ServiceID !== before.ServiceID) this.ofService.get(before.ServiceID ?? "")?.delete(id);
      this.tallies.delete(before.ServiceID ?? "");
    }
    put(this.tasks, id, task);
    if (!task) return;
    this.sortedTasks.delete(task.NodeID ?? "");
    if (isShown(task)) into(this.onNode, task.NodeID ?? "").set(id, task);
    into(this.ofService, task.ServiceID ?? "").set(id, task);
    this.tallies.delete(task.ServiceID ?? "");
    if (before && before.Status.State !== task.Status.State) {
      this.turns.push({ at: task.Status.Timestamp, task, before: before.Status.State });
    }
  }

  /** What happened to tasks since this was asked last. */
  takeTurns(): Turn[] {
    return this.turns.splice(0);
  }

  tasksOn(node: string): ReadonlyMap<string, Task> {
    return this.onNode.get(node) ?? NO_TASKS;
  }

  /** The same in the order in which they are shown. */
  sortedOn(node: string): readonly Task[] {
    let tasks = this.sortedTasks.get(node);
    if (!tasks) this.sortedTasks.set(node, (tasks = this.sorted(this.tasksOn(node).values())));
    return tasks;
  }

  tasksOf(service: string): ReadonlyMap<string, Task> {
    return this.ofService.get(service) ?? NO_TASKS;
  }

  /** Managers first, then by name as people count: w2 before w10. */
  listNodes(): readonly Node[] {
    this.sortedNodes ??= [...this.nodes.values()].sort(
      (a, b) => rank(a) - rank(b) || byName.compare(nodeName(a), nodeName(b)) || (a.ID < b.ID ? -1 : 1),
    );
    return this.sortedNodes;
  }

  listServices(): readonly Service[] {
    this.sortedServices ??= [...this.services.values()].sort((a, b) => byName.compare(a.Spec.Name, b.Spec.Name));
    return this.sortedServices;
  }

  tally(service: string): Tally {
    let tally = this.tallies.get(service);
    if (!tally) {
      tally = count(this.services.get(service), this.tasksOf(service));
      this.tallies.set(service, tally);
    }
    return tally;
  }

  totals(): Totals {
    if (!this.countedTotals) {
      const totals: Totals = { nodes: this.nodes.size, ready: 0, services: this.services.size, short: 0, wanted: 0, running: 0 };
      for (const node of this.nodes.values()) if (node.Status.State === "ready") totals.ready += 1;
      for (const id of this.services.keys()) {
        const tally = this.tally(id);
        totals.wanted += tally.wanted;
        totals.running += tally.running;
        if (tally.running < tally.wanted) totals.short += 1;
      }
      this.countedTotals = totals;
    }
    return this.countedTotals;
  }

  serviceName(id: string | undefined): string {
    return this.services.get(id ?? "")?.Spec.Name ?? (id ?? "").slice(0, 12);
  }

  nodeName(id: string | undefined): string {
    if (!id) return "";
    const node = this.nodes.get(id);
    return node ? nodeName(node) : id.slice(0, 12);
  }

  /** `service.slot`, or `service` on its node where there is one task a node. */
  taskName(task: Task): string {
    const service = this.serviceName(task.ServiceID);
    return task.Slot ? `${service}.${task.Slot}` : service;
  }

  /** In the order in which a node's or service's tasks are shown. */
  sorted(tasks: Iterable<Task>): Task[] {
    return [...tasks].sort(
      (a, b) =>
        byName.compare(this.serviceName(a.ServiceID), this.serviceName(b.ServiceID)) ||
        (a.Slot ?? 0) - (b.Slot ?? 0) ||
        (a.CreatedAt < b.CreatedAt ? 1 : a.CreatedAt > b.CreatedAt ? -1 : a.ID < b.ID ? -1 : 1),
    );
  }

  /** Every task that should run and does not, longest waiting first. */
  troubled(): Task[] {
    const found: Task[] = [];
    for (const task of this.tasks.values()) {
      if (isWanted(task) && task.Status.State !== "running" && task.Status.State !== "complete") found.push(task);
    }
    return found.sort((a, b) => (a.Status.Timestamp < b.Status.Timestamp ? -1 : 1));
  }
}

export interface Totals {
  nodes: number;
  ready: number;
  services: number;
  /** Services with fewer running tasks than wanted. */
  short: number;
  wanted: number;
  running: number;
}

const byName = new Intl.Collator("en", { numeric: true });

const rank = (node: Node): number => (node.Spec.Role === "manager" ? 0 : 1);

function put<T>(map: Map<string, T>, id: string, object: T | null | undefined): void {
  if (object) map.set(id, object);
  else map.delete(id);
}

function into(map: Map<string, Map<string, Task>>, key: string): Map<string, Task> {
  let found = map.get(key);
  if (!found) map.set(key, (found = new Map()));
  return found;
}

function count(service: Service | undefined, tasks: ReadonlyMap<string, Task>): Tally {
  const looks = { running: 0, starting: 0, waiting: 0, leaving: 0, failed: 0, done: 0 };
  const tally: Tally = { wanted: 0, running: 0, looks, renewed: 0, renewedRunning: 0, completed: 0, reasons: [] };
  const started = Date.parse(service?.UpdateStatus?.StartedAt ?? "");
  const reasons = new Map<string, number>();
  for (const task of tasks.values()) {
    if (task.Status.State === "complete") tally.completed += 1;
    if (!isWanted(task) && hasEnded(task)) continue;
    looks[lookOf(task)] += 1;
    if (!isWanted(task)) continue;
    const runs = task.Status.State === "running";
    if (task.Status.State === "complete") continue;
    tally.wanted += 1;
    if (runs) tally.running += 1;
    else reasons.set(reasonOf(task), (reasons.get(reasonOf(task)) ?? 0) + 1);
    if (Date.parse(task.CreatedAt) >= started) {
      tally.renewed += 1;
      if (runs) tally.renewedRunning += 1;
    }
  }
  const mode = service?.Spec.Mode;
  if (mode?.Replicated) tally.wanted = mode.Replicated.Replicas ?? 1;
  tally.reasons = [...reasons].map(([text, n]) => ({ text, tasks: n })).sort((a, b) => b.tasks - a.tasks);
  return tally;
}

/** Takes lines; everything of a reset comes together, so that nobody sees a half-empty cluster. */
export class Intake {
  cluster = new Cluster();
  revision = 0;
  private next: Cluster | null = null;

  /** A connection begins: what came only half with the one before is forgotten. */
  begin(): void {
    this.next = null;
  }

  take(line: WatchLine): void {
    if (line.Reset) this.next = new Cluster();
    (this.next ?? this.cluster).apply(line.Changes ?? []);
    if (line.Revision === 0) return;
    this.revision = line.Revision;
    if (this.next) {
      this.cluster = this.next;
      this.next = null;
    }
  }
}
