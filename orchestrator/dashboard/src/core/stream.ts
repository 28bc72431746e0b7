// Lines of JSON from an answer that does not end, taken up again where it broke off.

import type { WatchLine } from "./objects";

/** A refusal, in the API's words. */
export class Refused extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

/** Asks once; throws `Refused` for any answer that is no success. */
export async function ask(url: string, options: RequestInit = {}): Promise<Response> {
  const answer = await fetch(url, { cache: "no-store", ...options, headers: { "x-swarmctl-states": "exact", ...options.headers } });
  if (answer.ok) return answer;
  const body = (await answer.json().catch(() => null)) as { message?: string; error?: string; reason?: string } | null;
  const words = body?.message ?? [body?.error, body?.reason].filter(Boolean).join(": ");
  throw new Refused(answer.status, words || `the answer was ${answer.status}`);
}

/** Cuts what comes into lines. What is incomplete waits for the rest. */
export class LineCutter {
  private rest: string[] = [];

  push(text: string): string[] {
    const lines = text.split("\n");
    const last = lines.pop() ?? "";
    if (lines.length > 0) {
      lines[0] = this.rest.join("") + lines[0];
      this.rest = [];
    }
    if (last) this.rest.push(last);
    return lines.filter((line) => line.trim() !== "");
  }
}

/** Reads an answer line by line until it ends or `signal` says stop. */
export async function* linesOf(answer: Response, alive: () => void): AsyncGenerator<string[]> {
  if (!answer.body) return;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  const cutter = new LineCutter();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      alive();
      const lines = cutter.push(value);
      if (lines.length > 0) yield lines;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

export interface Following {
  /** Called for every line, in order. */
  line: (line: WatchLine) => void;
  /** Called when the connection is there, and with the reason when it is not. */
  state: (problem: string | null) => void;
  /** The revision to go on from; 0 for everything. */
  from: () => number;
}

/** The server says something at least every 30 s; after so long it is taken for dead. */
const SILENCE_MS = 45_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5_000;

/** Follows `/watch` until `signal`; connects anew whenever it breaks, without losing a change. */
export async function follow(api: string, to: Following, signal: AbortSignal): Promise<void> {
  let wait = FIRST_WAIT_MS;
  let since = to.from();
  while (!signal.aborted) {
    const attempt = new AbortController();
    const stop = () => attempt.abort();
    signal.addEventListener("abort", stop);
    let timer = setTimeout(stop, SILENCE_MS);
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(stop, SILENCE_MS);
    };
    try {
      const answer = await ask(`${api}watch?since=${since}&kinds=node,service,task&view=brief`, { signal: attempt.signal });
      to.state(null);
      for await (const lines of linesOf(answer, alive)) {
        for (const line of lines) to.line(JSON.parse(line) as WatchLine);
        wait = FIRST_WAIT_MS;
        since = to.from();
      }
      to.state("the connection ended");
    } catch (error) {
      if (signal.aborted) return;
      // 410: the history does not go back so far.
      if (error instanceof Refused && error.status === 410) since = 0;
      to.state(inWords(error));
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    }
    await new Promise((done) => setTimeout(done, wait));
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  }
}

export function inWords(error: unknown): string {
  if (error instanceof Refused) return error.message;
  if (error instanceof DOMException && error.name === "AbortError") return "no answer in time";
  if (error instanceof TypeError) return "the cluster cannot be reached";
  return error instanceof Error ? error.message : String(error);
}
