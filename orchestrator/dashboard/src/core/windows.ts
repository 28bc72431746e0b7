// Which part of a long list is in sight: only that part is drawn.

/** Where rows of different heights begin. `tops` has one more entry than there are rows. */
export function stack(heights: readonly number[], gap: number): Float64Array {
  const tops = new Float64Array(heights.length + 1);
  for (let row = 0; row < heights.length; row += 1) tops[row + 1] = (tops[row] ?? 0) + (heights[row] ?? 0) + gap;
  return tops;
}

export interface Range {
  first: number;
  /** One behind the last. */
  end: number;
}

/** The rows that touch `[from, to)`. */
export function inSight(tops: Float64Array, from: number, to: number): Range {
  const rows = tops.length - 1;
  let low = 0;
  let high = rows;
  // The last row that begins at or above `from`.
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((tops[middle] ?? Infinity) <= from) low = middle;
    else high = middle - 1;
  }
  const first = Math.min(low, Math.max(0, rows - 1));
  let end = first;
  while (end < rows && (tops[end] ?? Infinity) < to) end += 1;
  return { first, end };
}

/** The same for rows of one height. */
export function inSightEven(rows: number, height: number, from: number, to: number): Range {
  const first = Math.max(0, Math.min(rows, Math.floor(from / height)));
  return { first, end: Math.max(first, Math.min(rows, Math.ceil(to / height))) };
}

/** How much of a node's tasks a card draws, and how high it gets. */
export interface Density {
  name: "cards" | "rows" | "dots";
  /** Pixels: a task's height, and for dots its width. */
  task: number;
  /** Tasks drawn at most; the node's own page shows all. */
  most: number;
  /** Width of a card at least. */
  card: number;
}

export const DENSITIES: Record<Density["name"], Density> = {
  cards: { name: "cards", task: 64, most: 60, card: 250 },
  rows: { name: "rows", task: 28, most: 120, card: 220 },
  dots: { name: "dots", task: 20, most: 600, card: 176 },
};

/** What fits the cluster when nobody has chosen. */
export function fitting(nodes: number, tasks: number): Density["name"] {
  if (nodes <= 12 && tasks <= 240) return "cards";
  return nodes <= 100 && tasks <= 2_000 ? "rows" : "dots";
}

/** Pixels of a card without its tasks, and of the line below that says how many more there are. */
export const HEAD = 92;
const MORE = 28;
const PADDING = 10;

export function cardHeight(tasks: number, density: Density, width: number): number {
  const drawn = Math.min(tasks, density.most);
  const perRow = density.name === "dots" ? Math.max(1, Math.floor((width - 2 * PADDING) / density.task)) : 1;
  const rows = Math.max(1, Math.ceil(drawn / perRow));
  return HEAD + rows * density.task + PADDING + (tasks > density.most ? MORE : 0);
}
