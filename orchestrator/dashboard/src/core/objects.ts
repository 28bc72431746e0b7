// The cluster's objects as `/watch?view=brief` sends them: Docker's fields, those that are shown here.

export interface Node {
  ID: string;
  Spec: { Name?: string; Labels?: Record<string, string> | null; Role: string; Availability: string };
  Description: {
    Hostname: string;
    Platform?: { Architecture?: string; OS?: string };
    Resources?: { NanoCPUs?: number; MemoryBytes?: number };
    Engine?: { EngineVersion?: string };
    AgentVersion?: string;
  };
  Status: { State: string; Message?: string; Addr?: string };
  ManagerStatus?: { Leader?: boolean; Reachability?: string } | null;
}

export interface Mode {
  Replicated?: { Replicas?: number } | null;
  Global?: object | null;
  ReplicatedJob?: { MaxConcurrent?: number; TotalCompletions?: number } | null;
  GlobalJob?: object | null;
}

export interface ServiceSpec {
  Name: string;
  Labels?: Record<string, string> | null;
  Mode: Mode;
  TaskTemplate?: { ContainerSpec?: { Image?: string } };
  UpdateConfig?: { Parallelism?: number; Delay?: number; Order?: string } | null;
}

export interface Service {
  ID: string;
  Version?: { Index?: number };
  CreatedAt: string;
  UpdatedAt?: string;
  Spec: ServiceSpec;
  PreviousSpec?: ServiceSpec | null;
  Endpoint?: { Ports?: { TargetPort: number; PublishedPort?: number; Protocol?: string; PublishMode?: string }[] | null };
  UpdateStatus?: { State: string; StartedAt?: string; CompletedAt?: string; Message?: string } | null;
}

export interface Task {
  ID: string;
  CreatedAt: string;
  ServiceID?: string;
  NodeID?: string;
  Slot?: number;
  Spec?: { ContainerSpec?: { Image?: string } };
  Status: {
    State: string;
    Timestamp: string;
    Message?: string;
    Err?: string;
    ContainerStatus?: { ContainerID?: string; ExitCode?: number };
  };
  DesiredState: string;
  Failures?: number;
}

export type Kind = "node" | "service" | "task";

/** One object of a line: what became of it. */
export interface Change {
  Kind: string;
  ID: string;
  Action: "create" | "update" | "remove";
  Object?: unknown;
}

/** One line of `/watch`. */
export interface WatchLine {
  Revision: number;
  Reset?: boolean;
  Changes: Change[];
}

/** What the page may do, from `settings.json` beside it. */
export interface Settings {
  /** Where the API is, relative to the page. */
  api: string;
  readOnly: boolean;
  logs: boolean;
}

const ENDED = new Set(["complete", "shutdown", "failed", "rejected", "remove", "orphaned"]);
const FAILED = new Set(["failed", "rejected", "orphaned"]);

export const hasEnded = (task: Task): boolean => ENDED.has(task.Status.State);
export const hasFailed = (task: Task): boolean => FAILED.has(task.Status.State);

/** Whether the task should be there (a job's tasks should complete). */
export function isWanted(task: Task): boolean {
  switch (task.DesiredState) {
    case "running":
    case "ready":
    case "accepted":
    case "complete":
      return true;
    default:
      return false;
  }
}

/** Tasks in the picture: those that should be there, and those that should not but still are. */
export const isShown = (task: Task): boolean => (isWanted(task) ? task.Status.State !== "complete" : !hasEnded(task));

/** How a task is, in the few words that boxes and counts are coloured by. */
export type Look = "running" | "starting" | "waiting" | "leaving" | "failed" | "done";

export function lookOf(task: Task): Look {
  const state = task.Status.State;
  if (FAILED.has(state)) return "failed";
  if (state === "complete") return "done";
  if (!isWanted(task)) return ENDED.has(state) ? "done" : "leaving";
  if (state === "running") return "running";
  if (state === "draining") return "leaving";
  return task.Status.Err || state === "new" || state === "pending" ? "waiting" : "starting";
}

/** The image without the digest that pins it. */
export const imageOf = (task: { Spec?: { ContainerSpec?: { Image?: string } } }): string =>
  (task.Spec?.ContainerSpec?.Image ?? "").split("@")[0] ?? "";

export const imageOfSpec = (spec?: ServiceSpec | null): string =>
  (spec?.TaskTemplate?.ContainerSpec?.Image ?? "").split("@")[0] ?? "";

export const nodeName = (node: Node): string => node.Spec.Name || node.Description.Hostname || node.ID.slice(0, 12);
