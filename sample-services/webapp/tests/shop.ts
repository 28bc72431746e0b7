// A simulated shop: the three services behind one address, and the page as built.

import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

const PAGE = new URL("../dist/page/", import.meta.url);
const TYPES: Record<string, string> = { html: "text/html; charset=utf-8", js: "text/javascript", css: "text/css", svg: "image/svg+xml" };

export class Shop {
  readonly documents: Record<string, Record<string, unknown>[]> = { Customers: [], Products: [], Invoices: [] };
  /** Services that answer 503. */
  readonly away = new Set<string>();
  version = "1";
  private readonly server: Server;
  private answers = 0;

  constructor() {
    this.server = createServer(async (request, answer) => {
      const url = new URL(request.url ?? "/", "http://shop");
      const kind = url.pathname.slice(1);
      const json = (status: number, body: unknown) => {
        const count = String(Array.isArray(body) ? body.length : 0);
        answer.writeHead(status, { "content-type": "application/json", "x-instance": `${kind.toLowerCase()}-${(this.answers += 1) % 3}`, "x-version": this.version, "x-total-count": count });
        answer.end(JSON.stringify(body));
      };
      const list = this.documents[kind];
      if (!list) {
        const path = kind || "index.html";
        const content = await readFile(new URL(path, PAGE)).catch(() => null);
        answer.writeHead(content ? 200 : 404, { "content-type": TYPES[path.split(".").pop() ?? ""] ?? "text/plain", "content-security-policy": "default-src 'self'; img-src 'self' data:", "x-instance": "webapp-1" });
        answer.end(content ?? "");
      } else if (this.away.has(kind)) {
        json(503, { error: `${kind.toLowerCase()} cannot be reached`, reason: "connection refused" });
      } else if (request.method === "PUT") {
        const parts: Buffer[] = [];
        for await (const part of request) parts.push(part as Buffer);
        const fields = JSON.parse(Buffer.concat(parts).toString()) as Record<string, unknown>;
        const wrong = Object.entries(fields).filter(([, value]) => value === "" || value === null || Number(value) < 1);
        if (wrong.length > 0) return json(400, { error: "invalid", fields: Object.fromEntries(wrong.map(([name]) => [name, "must not be empty"])) });
        const id = randomUUID();
        list.unshift({ id, issuedAt: new Date().toISOString(), ...fields });
        json(200, id);
      } else {
        json(200, kind === "Customers" && this.version === "2" ? list.map((c) => ({ ...c, greeting: `Hello, ${String(c.name)}!` })) : list);
      }
    });
  }

  async start(): Promise<string> {
    await new Promise<void>((done) => this.server.listen(0, "127.0.0.1", done));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }
}
