// Asks the gateway: the answer, who gave it, or a failure in words for people.

/** How long an answer is waited for: the gateway itself looks for a task for 3 s. */
const TIMEOUT_MS = 8_000;

/** Who answered, as the services say of themselves in their headers. */
export interface Answerer {
  instance: string;
  version: string;
  ms: number;
}

export interface Page<T> {
  documents: T[];
  total: number;
  /** Where older documents are; null when there are none. */
  next: string | null;
}

/** No answer, or a refusal. `fields` says what is wrong with what was sent. */
export class Failure extends Error {
  constructor(message: string, readonly fields: Record<string, string> = {}) {
    super(message);
  }
}

/** Told of every attempt: who answered, or why nobody did. */
export type Witness = (answer: Answerer | { failed: string }) => void;

interface Problem {
  error?: string;
  reason?: string;
  fields?: Record<string, string>;
}

async function ask(path: string, options: RequestInit, witness: Witness): Promise<{ body: unknown; headers: Headers }> {
  const started = performance.now();
  let answer: Response;
  try {
    answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS), ...options });
  } catch (error) {
    const late = error instanceof DOMException && error.name === "TimeoutError";
    const why = late ? `no answer within ${TIMEOUT_MS / 1_000} s` : "the gateway cannot be reached";
    witness({ failed: why });
    throw new Failure(why);
  }
  const body: unknown = await answer.json().catch(() => null);
  const instance = answer.headers.get("x-instance") ?? "somebody unnamed";
  if (answer.status >= 500) witness({ failed: `${answer.status} from ${instance}` });
  else witness({ instance, version: answer.headers.get("x-version") ?? "?", ms: Math.round(performance.now() - started) });
  if (!answer.ok) {
    const { error, reason, fields } = (body ?? {}) as Problem;
    throw new Failure([error ?? `the answer was ${answer.status}`, reason].filter(Boolean).join(": "), fields ?? {});
  }
  return { body, headers: answer.headers };
}

export async function list<T>(path: string, witness: Witness): Promise<Page<T>> {
  const { body, headers } = await ask(path, {}, witness);
  const documents = Array.isArray(body) ? (body as T[]) : [];
  return { documents, total: Number(headers.get("x-total-count") ?? documents.length), next: nextPage(headers.get("link")) };
}

/** The new document's id. */
export async function create(path: string, fields: object, witness: Witness): Promise<string> {
  const options = { method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify(fields) };
  return String((await ask(path, options, witness)).body);
}

/** The address that the header `Link: <…>; rel="next"` gives. */
export function nextPage(link: string | null): string | null {
  return link?.match(/<([^>]+)>;\s*rel="next"/)?.[1] ?? null;
}
