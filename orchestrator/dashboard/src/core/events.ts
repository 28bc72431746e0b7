// What happened: the cluster's events in words, and what tasks went through since the page is open.

import type { Turn } from "./cluster";

/** One line of `/events`. */
export interface ApiEvent {
  Type: string;
  Action: string;
  Actor: { ID: string; Attributes?: Record<string, string> | null };
  time: number;
  timeNano: number;
}

export interface Happening {
  number: number;
  /** Milliseconds since 1970. */
  at: number;
  kind: string;
  /** Leads to the object's panel; empty when it has none. */
  id: string;
  name: string;
  text: string;
  grave: boolean;
}

/** Kept at most; the oldest go first. */
export const KEPT_HAPPENINGS = 2_000;

export function ofEvent(event: ApiEvent): Omit<Happening, "number"> {
  const attributes = event.Actor.Attributes ?? {};
  const changes = Object.keys(attributes)
    .filter((key) => key.endsWith(".new"))
    .map((key) => {
      const what = key.slice(0, -4);
      const old = attributes[`${what}.old`];
      const now = (attributes[key] ?? "").split("@")[0];
      return `${what === "updatestate" ? "update" : what} ${old ? `${old.split("@")[0]} → ` : ""}${now}`.replaceAll("_", " ");
    });
  const grave = ["down", "disconnected"].includes(attributes["state.new"] ?? "") ||
    /paused|rollback_started/.test(attributes["updatestate.new"] ?? "");
  return {
    at: event.timeNano / 1e6 || event.time * 1e3,
    kind: event.Type,
    id: event.Type === "service" || event.Type === "node" ? event.Actor.ID : "",
    name: attributes.name ?? event.Actor.ID.slice(0, 12),
    text: (changes.length > 0 ? changes : [`${event.Action}d`]).join(", "),
    grave,
  };
}

/** Turns that a reader wants to know of: it runs, it ended, it failed. */
const TOLD = new Set(["running", "draining", "complete", "shutdown", "failed", "rejected", "orphaned"]);

export function ofTurn(turn: Turn, name: string, node: string): Omit<Happening, "number"> | null {
  const { task } = turn;
  const { State, Err, ContainerStatus } = task.Status;
  if (!TOLD.has(State)) return null;
  const grave = State === "failed" || State === "rejected" || State === "orphaned";
  const code = grave && ContainerStatus?.ExitCode ? ` (exit code ${ContainerStatus.ExitCode})` : "";
  const words = grave && Err ? `: ${Err}` : "";
  return { at: Date.parse(turn.at), kind: "task", id: task.ID, name, text: `${State}${node ? ` on ${node}` : ""}${words || code}`, grave };
}

/** Newest first. */
export class Journal {
  readonly list: Happening[] = [];
  private number = 0;

  add(happening: Omit<Happening, "number">): void {
    this.list.unshift({ ...happening, number: this.number++ });
    // Almost always in order already.
    for (let i = 0; i + 1 < this.list.length; i += 1) {
      const [newer, older] = [this.list[i] as Happening, this.list[i + 1] as Happening];
      if (newer.at >= older.at) break;
      this.list[i] = older;
      this.list[i + 1] = newer;
    }
    if (this.list.length > KEPT_HAPPENINGS) this.list.length = KEPT_HAPPENINGS;
  }
}
