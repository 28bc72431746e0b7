// A simulated cluster: what `/watch`, `/events`, `/explain` and the rest of the API would say.
//
// Serves the page as built (`dist/page`) at `/dashboard/` and the API beside it, as the orchestrator does.

import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Change, Node, Service, Task } from "../src/core/objects";

const PAGE = new URL("../dist/page/", import.meta.url);
const TYPES: Record<string, string> = { html: "text/html; charset=utf-8", js: "text/javascript", css: "text/css", svg: "image/svg+xml" };
const CHUNK = 500;

export interface Sizes {
  nodes: number;
  services: number;
  tasks: number;
}

const NAMES = ["api-gateway", "customers", "customers_db", "products", "products_db", "invoices", "invoices_db", "webapp", "viz"];

export class Feed {
  readonly nodes: Node[] = [];
  readonly services: Service[] = [];
  readonly tasks: Task[] = [];
  /** Requests that would change something: method, path, body. */
  readonly writes: { path: string; body: unknown }[] = [];
  /** The next write is refused with this. */
  refuse: { status: number; message: string } | null = null;
  readOnly = false;
  /** Nobody answers for the API. */
  away = false;
  private revision = 10;
  private followers = new Set<ServerResponse>();
  private events = new Set<ServerResponse>();
  private readonly server: Server;

  constructor(sizes: Sizes) {
    const before = (seconds: number) => new Date(Date.now() - seconds * 1_000).toISOString();
    for (let n = 0; n < sizes.nodes; n += 1) {
      const manager = n < Math.min(3, Math.ceil(sizes.nodes / 3));
      this.nodes.push({
        ID: `node${n}`,
        Spec: { Role: manager ? "manager" : "worker", Availability: "active", Labels: n % 2 ? { rack: `r${n % 4}` } : {} },
        Description: {
          Hostname: manager ? `m${n + 1}` : `w${n}`,
          Platform: { Architecture: "x86_64", OS: "linux" },
          Resources: { NanoCPUs: 4e9, MemoryBytes: 16 * 2 ** 30 },
          Engine: { EngineVersion: "27.5.1" },
        },
        Status: { State: "ready", Addr: `10.0.${n >> 8}.${n & 255}` },
        ManagerStatus: manager ? { Leader: n === 0, Reachability: "reachable" } : null,
      });
    }
    const each = Math.floor(sizes.tasks / sizes.services);
    for (let s = 0; s < sizes.services; s += 1) {
      const name = s < NAMES.length ? `demo_${NAMES[s]}` : `shop${Math.floor(s / 10)}_part${s % 10}`;
      const replicas = s === 0 ? sizes.tasks - each * (sizes.services - 1) : each;
      this.services.push({
        ID: `service${s}`,
        Version: { Index: 5 },
        CreatedAt: before(9_000),
        Spec: {
          Name: name,
          Mode: { Replicated: { Replicas: replicas } },
          TaskTemplate: { ContainerSpec: { Image: `swarm-demo/${NAMES[s % NAMES.length]}:1` } },
          UpdateConfig: { Parallelism: 1, Order: "start-first" },
        },
        PreviousSpec: s === 1 ? { Name: name, Mode: {}, TaskTemplate: { ContainerSpec: { Image: "swarm-demo/customers:0" } } } : null,
        Endpoint: { Ports: s === 0 ? [{ TargetPort: 80, PublishedPort: 80, Protocol: "tcp", PublishMode: "ingress" }] : [] },
      });
      for (let slot = 1; slot <= replicas; slot += 1) this.tasks.push(this.task(s, slot, this.tasks.length));
    }
    this.server = createServer((request, answer) => void this.answer(request, answer));
  }

  private made = 0;

  task(service: number, slot: number, place: number): Task {
    const at = new Date(Date.now() - 60_000 - (place % 5_000) * 1_000).toISOString();
    return {
      ID: `task${String(this.made++).padStart(6, "0")}`,
      CreatedAt: at,
      ServiceID: `service${service}`,
      NodeID: this.nodes[place % this.nodes.length]?.ID ?? "",
      Slot: slot,
      Spec: { ContainerSpec: { Image: this.services[service]?.Spec.TaskTemplate?.ContainerSpec?.Image ?? "" } },
      Status: { State: "running", Timestamp: at, Message: "started", ContainerStatus: { ContainerID: `c0ffee${place}`.padEnd(64, "0"), ExitCode: 0 } },
      DesiredState: "running",
    };
  }

  async start(): Promise<string> {
    await new Promise<void>((done) => this.server.listen(0, "127.0.0.1", done));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.cut();
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }

  /** Ends every stream, as a manager that stops. */
  cut(): void {
    for (const stream of [...this.followers, ...this.events]) stream.end();
    this.followers.clear();
    this.events.clear();
  }

  /** Tells everybody that follows. */
  tell(changes: Change[]): void {
    this.revision += 1;
    const line = `${JSON.stringify({ Revision: this.revision, Changes: changes })}\n`;
    for (const follower of this.followers) follower.write(line);
  }

  tellTask(task: Task): void {
    this.tell([{ Kind: "task", ID: task.ID, Action: "update", Object: task }]);
  }

  tellService(service: Service): void {
    this.tell([{ Kind: "service", ID: service.ID, Action: "update", Object: service }]);
  }

  tellEvent(type: string, id: string, name: string, attributes: Record<string, string>): void {
    const at = Date.now();
    const event = { Type: type, Action: "update", Actor: { ID: id, Attributes: { name, ...attributes } }, scope: "swarm", time: Math.floor(at / 1e3), timeNano: at * 1e6 };
    for (const follower of this.events) follower.write(`${JSON.stringify(event)}\n`);
  }

  private async answer(request: IncomingMessage, answer: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://feed");
    const [, first, second, third] = url.pathname.split("/");
    const json = (status: number, body: unknown) => {
      answer.writeHead(status, { "content-type": "application/json" });
      answer.end(JSON.stringify(body));
    };
    if (first === "dashboard") {
      if (second === "settings.json") return json(200, { api: "../", readOnly: this.readOnly, logs: !this.readOnly });
      return this.page(url.pathname.slice("/dashboard/".length) || "index.html", answer);
    }
    if (this.away) return json(503, { message: "The swarm does not have a leader." });
    if (request.method !== "GET") {
      const parts: Buffer[] = [];
      for await (const part of request) parts.push(part as Buffer);
      this.writes.push({ path: `${url.pathname}${url.search}`, body: JSON.parse(Buffer.concat(parts).toString() || "null") });
      const refused = this.refuse;
      this.refuse = null;
      return refused ? json(refused.status, { message: refused.message }) : json(200, { Warnings: null });
    }
    if (first === "watch") return this.watch(url, answer);
    if (first === "events") {
      answer.writeHead(200, { "content-type": "application/json" });
      answer.flushHeaders();
      this.events.add(answer);
      return;
    }
    if (first === "explain") return json(200, { Kind: second, ID: third, Sentences: [`The simulated cluster says this of ${second} ${third}.`] });
    if (third === "logs") return this.log(answer);
    const object = first === "services" ? this.services.find((s) => s.ID === second) : this.nodes.find((n) => n.ID === second);
    return object ? json(200, { Version: { Index: 7 }, ...object }) : json(404, { message: "page not found" });
  }

  private watch(url: URL, answer: ServerResponse): void {
    answer.writeHead(200, { "content-type": "application/x-ndjson" });
    if (url.searchParams.get("since") === "0") {
      const all: Change[] = [
        ...this.nodes.map((o) => ({ Kind: "node", ID: o.ID, Action: "create" as const, Object: o })),
        ...this.services.map((o) => ({ Kind: "service", ID: o.ID, Action: "create" as const, Object: o })),
        ...this.tasks.map((o) => ({ Kind: "task", ID: o.ID, Action: "create" as const, Object: o })),
      ];
      for (let at = 0; at < all.length || at === 0; at += CHUNK) {
        const last = at + CHUNK >= all.length;
        answer.write(`${JSON.stringify({ Revision: last ? this.revision : 0, Reset: at === 0 || undefined, Changes: all.slice(at, at + CHUNK) })}\n`);
      }
    } else {
      answer.write(`${JSON.stringify({ Revision: this.revision, Changes: [] })}\n`);
    }
    this.followers.add(answer);
    answer.on("close", () => this.followers.delete(answer));
  }

  private log(answer: ServerResponse): void {
    answer.writeHead(200, { "content-type": "application/vnd.docker.multiplexed-stream" });
    for (let n = 1; n <= 300; n += 1) {
      const task = this.tasks[n % 3]?.ID ?? "";
      const text = Buffer.from(`2026-11-21T09:53:04.${String(n).padStart(9, "0")}Z com.docker.swarm.node.id=node0,com.docker.swarm.service.id=service1,com.docker.swarm.task.id=${task} line ${n}: a customer was asked for\n`);
      const head = Buffer.alloc(8);
      head[0] = n % 25 === 0 ? 2 : 1;
      head.writeUInt32BE(text.length, 4);
      answer.write(Buffer.concat([head, text]));
    }
  }

  private async page(path: string, answer: ServerResponse): Promise<void> {
    try {
      const content = await readFile(new URL(path, PAGE));
      answer.writeHead(200, {
        "content-type": TYPES[path.split(".").pop() ?? ""] ?? "application/octet-stream",
        "content-security-policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
      });
      answer.end(content);
    } catch {
      answer.writeHead(404).end("not built");
    }
  }
}
