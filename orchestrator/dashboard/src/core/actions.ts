// What a reader may do to the cluster, as requests of Docker's API.
//
// Each reads the object first and writes it with the version it had: what somebody else changed in
// between is not overwritten, the answer is then 409 and nothing has happened.

import type { Mode } from "./objects";
import { ask } from "./stream";

interface Whole<Spec> {
  ID: string;
  Version: { Index: number };
  Spec: Spec;
}

interface WholeServiceSpec {
  Mode: Mode;
  TaskTemplate: { ForceUpdate?: number; ContainerSpec?: { Image?: string } };
}

async function change<Spec>(path: string, edit: (spec: Spec) => void, query = ""): Promise<string[]> {
  const whole = (await (await ask(path)).json()) as Whole<Spec>;
  edit(whole.Spec);
  const answer = await ask(`${path}/update?version=${whole.Version.Index}${query}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(whole.Spec),
  });
  const text = await answer.text();
  const body = text ? (JSON.parse(text) as { Warnings?: string[] | null }) : null;
  return body?.Warnings ?? [];
}

/** All of them answer with the API's warnings. */
export class Actions {
  constructor(private readonly api: string) {}

  scale(service: string, replicas: number): Promise<string[]> {
    return this.service(service, (spec) => {
      spec.Mode = { Replicated: { Replicas: replicas } };
    });
  }

  setImage(service: string, image: string): Promise<string[]> {
    return this.service(service, (spec) => {
      spec.TaskTemplate.ContainerSpec = { ...spec.TaskTemplate.ContainerSpec, Image: image };
    });
  }

  /** New tasks for all of the service's, also spread anew over the nodes. */
  replaceAll(service: string): Promise<string[]> {
    return this.service(service, (spec) => {
      spec.TaskTemplate.ForceUpdate = (spec.TaskTemplate.ForceUpdate ?? 0) + 1;
    });
  }

  rollBack(service: string): Promise<string[]> {
    return this.service(service, () => {}, "&rollback=previous");
  }

  setAvailability(node: string, availability: "active" | "pause" | "drain"): Promise<string[]> {
    return change<{ Availability: string }>(`${this.api}nodes/${node}`, (spec) => {
      spec.Availability = availability;
    });
  }

  private service(id: string, edit: (spec: WholeServiceSpec) => void, query = ""): Promise<string[]> {
    return change(`${this.api}services/${id}`, edit, query);
  }
}

/** What keeps a number of replicas from being one; empty when nothing does. */
export function wrongReplicas(text: string): string {
  const number = Number(text);
  if (text.trim() === "" || !Number.isInteger(number) || number < 0) return "a whole number, 0 or more";
  return number > 100_000 ? "at most 100000" : "";
}

export function wrongImage(text: string): string {
  return /^[^\s]+$/.test(text.trim()) ? "" : "an image's name, such as registry.example/shop/web:2";
}
