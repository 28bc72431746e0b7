// What all parts of the page share: the cluster, when to draw it, where the reader is, what may be done.

import { computed, reactive, ref, shallowRef } from "vue";
import { Actions } from "./core/actions";
import { Intake, type Cluster } from "./core/cluster";
import { Hues } from "./core/colours";
import { Journal, ofEvent, ofTurn, type ApiEvent } from "./core/events";
import type { Settings } from "./core/objects";
import { ask, follow, inWords, linesOf } from "./core/stream";

const intake = new Intake();
const journal = new Journal();
export const hues = new Hues();

/** Counts frames in which something changed. Whoever reads it is drawn anew with the next. */
export const tick = shallowRef(0);
/** The clock, once a second. */
export const now = ref(Date.now());
/** Why the picture may be old; null while it is live. */
export const problem = ref<string | null>("not connected yet");
export const lastHeard = ref(0);
/** Whether the cluster has been there at all. */
export const arrived = ref(false);
export const settings = shallowRef<Settings>({ api: "../", readOnly: true, logs: false });
export const actions = computed(() => new Actions(settings.value.api));

/** The cluster as it is in this frame. */
export function cluster(): Cluster {
  void tick.value;
  return intake.cluster;
}

/** The same for what is drawn anew anyway when its part of the cluster has changed. */
export const current = (): Cluster => intake.cluster;

export function happenings() {
  void tick.value;
  return journal.list;
}

let scheduled = false;
let drawn = 0;
let coloured = 0;

/** Oldest services first, so that each has the same colour after a reload. */
function nameColours(): void {
  const { services } = intake.cluster;
  if (services.size === coloured) return;
  coloured = services.size;
  const oldest = [...services.values()].sort((a, b) => (a.CreatedAt < b.CreatedAt ? -1 : a.CreatedAt > b.CreatedAt ? 1 : a.ID < b.ID ? -1 : 1));
  for (const { Spec } of oldest) hues.of(Spec.Name);
}

/** Between two pictures at least: faster than people read, and half of it left for them to scroll. */
const PERIOD_MS = 100;
/** A page that nobody sees draws rarely. */
const HIDDEN_MS = 1_000;

/** Draws soon, however much comes until then. */
function changed(): void {
  if (scheduled) return;
  scheduled = true;
  const draw = () => {
    scheduled = false;
    drawn = performance.now();
    nameColours();
    for (const turn of intake.cluster.takeTurns()) {
      const told = ofTurn(turn, intake.cluster.taskName(turn.task), intake.cluster.nodeName(turn.task.NodeID));
      if (told) journal.add(told);
    }
    tick.value += 1;
  };
  const wait = drawn + PERIOD_MS - performance.now();
  if (document.hidden) setTimeout(draw, HIDDEN_MS);
  else if (wait > 0) setTimeout(() => requestAnimationFrame(draw), wait);
  else requestAnimationFrame(draw);
}

export async function start(): Promise<void> {
  setInterval(() => (now.value = Date.now()), 1_000);
  for (;;) {
    try {
      settings.value = (await (await fetch("settings.json", { cache: "no-store" })).json()) as Settings;
      break;
    } catch (error) {
      problem.value = inWords(error);
      await new Promise((done) => setTimeout(done, 2_000));
    }
  }
  const signal = new AbortController().signal;
  void followEvents(signal);
  await follow(
    settings.value.api,
    {
      from: () => intake.revision,
      line: (line) => {
        intake.take(line);
        lastHeard.value = Date.now();
        if (line.Revision > 0) arrived.value = true;
        changed();
      },
      state: (text) => {
        if (text === null) intake.begin();
        problem.value = text;
      },
    },
    signal,
  );
}

/** How far back the list of events begins. */
const HOURS = 6;

/** Events are a courtesy of the cluster: what is missed while there is no connection is asked for again. */
async function followEvents(signal: AbortSignal): Promise<void> {
  let since = Date.now() / 1e3 - HOURS * 3600;
  const filters = encodeURIComponent(JSON.stringify({ scope: ["swarm"] }));
  let wait = 1_000;
  while (!signal.aborted) {
    try {
      const answer = await ask(`${settings.value.api}events?since=${since.toFixed(3)}&filters=${filters}`, { signal });
      for await (const lines of linesOf(answer, () => {})) {
        for (const line of lines) {
          const event = JSON.parse(line) as ApiEvent;
          journal.add(ofEvent(event));
          since = event.timeNano / 1e9 + 0.001;
        }
        wait = 1_000;
        changed();
      }
    } catch (error) {
      if (signal.aborted) return;
      // The connection's state is told by the other stream.
      console.debug("events:", inWords(error));
    }
    await new Promise((done) => setTimeout(done, wait));
    wait = Math.min(wait * 2, 10_000);
  }
}

export type View = "nodes" | "services" | "problems" | "events";
export type PanelKind = "node" | "service" | "task" | "logs";

/** Where the reader is: a view and what is open beside it. Also the address, so that it can be sent on. */
export const place = reactive<{ view: View; kind: PanelKind | null; id: string }>({ view: "nodes", kind: null, id: "" });

const VIEWS: readonly string[] = ["nodes", "services", "problems", "events"];
const KINDS: readonly string[] = ["node", "service", "task", "logs"];

function read(): void {
  const [, view, kind, id] = location.hash.split("/");
  place.view = (VIEWS.includes(view ?? "") ? view : "nodes") as View;
  place.kind = kind && id && KINDS.includes(kind) ? (kind as PanelKind) : null;
  place.id = place.kind ? decodeURIComponent(id ?? "") : "";
}

addEventListener("hashchange", read);
read();

export const addressOf = (view: View, kind?: PanelKind | null, id = ""): string =>
  kind ? `#/${view}/${kind}/${encodeURIComponent(id)}` : `#/${view}`;

export function open(kind: PanelKind, id: string): void {
  location.hash = addressOf(place.view, kind, id);
}

export function close(): void {
  location.hash = addressOf(place.view);
}

/** What is asked before it is done. */
export interface Question {
  title: string;
  text: string;
  /** The button that does it. */
  label: string;
  grave?: boolean;
  input?: { label: string; value: string; kind: "number" | "text"; wrong: (text: string) => string };
  act: (input: string) => Promise<string[]>;
}

export const question = shallowRef<Question | null>(null);
/** Told to everybody, also to those who cannot see the page. */
export const notice = ref("");

export type Theme = "auto" | "light" | "dark";

export const theme = ref<Theme>((stored("theme") as Theme | null) ?? "auto");
export const chosenDensity = ref<string>(stored("density") ?? "auto");

export function stored(key: string): string | null {
  try {
    return localStorage.getItem(`dashboard.${key}`);
  } catch {
    return null;
  }
}

export function store(key: string, value: string): void {
  try {
    localStorage.setItem(`dashboard.${key}`, value);
  } catch {
    // Without storage the choice lasts as long as the page.
  }
}
