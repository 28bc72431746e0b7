// One kind of document: its list, newest first, kept up to date; who answered; what went wrong.

import { reactive } from "vue";
import { create, Failure, list, type Answerer, type Page } from "./api";

export interface Customer {
  id: string;
  name: string;
  address: string;
  /** Only version 2 of the service says this. */
  greeting?: string;
}

export interface Product {
  id: string;
  name: string;
}

export interface Invoice {
  id: string;
  customerId: string;
  productId: string;
  quantity: number;
  issuedAt: string;
}

export type Mark = (Answerer & { failed?: undefined }) | { failed: string };

/** Documents asked for at once, answers remembered. */
const PAGE = 50;
const TRAIL = 16;

export class Shelf<T extends { id: string }> {
  /** Null until the first answer. */
  documents: T[] | null = null;
  total = 0;
  next: string | null = null;
  /** Why the list may be old; empty while it is not. */
  failure = "";
  trail: Mark[] = [];
  olderPages = 0;
  busy = false;

  constructor(readonly path: string) {}

  // A method: bound once it would write to the plain object behind the reactive one.
  note(mark: Mark): void {
    this.trail = [...this.trail, mark].slice(-TRAIL);
  }

  get last(): Mark | undefined {
    return this.trail[this.trail.length - 1];
  }

  /** Which versions gave the last answers: more than one in the middle of a roll-out. */
  get versions(): string[] {
    const seen = this.trail.flatMap((mark) => (mark.failed === undefined ? [mark.version] : []));
    return [...new Set(seen)].sort();
  }

  /** Reads the newest page again; older ones that were opened stay. */
  async load(): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    try {
      this.take(await list<T>(`${this.path}?limit=${PAGE}`, (mark) => this.note(mark)));
      this.failure = "";
    } catch (error) {
      this.failure = inWords(error);
    }
    this.busy = false;
  }

  async loadOlder(): Promise<void> {
    if (!this.next) return;
    try {
      const page = await list<T>(this.next, (mark) => this.note(mark));
      this.documents = [...(this.documents ?? []), ...page.documents];
      this.next = page.next;
      this.olderPages += 1;
      this.failure = "";
    } catch (error) {
      this.failure = inWords(error);
    }
  }

  /** Throws a `Failure` when the document was not taken. */
  async add(fields: object): Promise<void> {
    await create(this.path, fields, (mark) => this.note(mark));
    await this.load();
  }

  take(page: Page<T>): void {
    const known = new Set(page.documents.map(({ id }) => id));
    const opened = this.olderPages > 0 ? (this.documents ?? []).filter(({ id }) => !known.has(id)) : [];
    this.documents = [...page.documents, ...opened];
    this.total = page.total;
    if (this.olderPages === 0) this.next = page.next;
  }
}

export const inWords = (error: unknown): string => (error instanceof Failure || error instanceof Error ? error.message : String(error));

export const customers = reactive(new Shelf<Customer>("/Customers"));
export const products = reactive(new Shelf<Product>("/Products"));
export const invoices = reactive(new Shelf<Invoice>("/Invoices"));
