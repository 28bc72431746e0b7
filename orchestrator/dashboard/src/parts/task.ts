// A task in words: what its box says, and what is read out of a dot.

import { reasonOf } from "../core/cluster";
import { imageOf, lookOf, type Look, type Task } from "../core/objects";
import { since } from "../core/words";
import { current, hues } from "../state";

export interface Words {
  name: string;
  look: Look;
  hue: number;
  state: string;
  /** Why it does not run; empty when it does. */
  why: string;
}

export function wordsOf(task: Task): Words {
  const look = lookOf(task);
  return {
    name: current().taskName(task),
    look,
    hue: hues.of(current().serviceName(task.ServiceID)),
    state: look === "leaving" && task.Status.State === "running" ? "stopping" : task.Status.State,
    why: look === "running" ? "" : reasonOf(task),
  };
}

/** All of it in one line; for how long only where `now` is given. */
export function whole(task: Task, { name, state, why }: Words, now?: number): string {
  return [
    now === undefined ? `${name}: ${state}` : `${name}: ${state} for ${since(task.Status.Timestamp, now)}`,
    why !== state ? why : "",
    imageOf(task),
    task.Failures ? `${task.Failures} failures before` : "",
  ].filter(Boolean).join(", ");
}
