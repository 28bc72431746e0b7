// Numbers and times as people read them.

export function since(time: string | undefined, now: number): string {
  const seconds = Math.max(0, (now - Date.parse(time ?? "")) / 1000);
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

export function memory(bytes: number | undefined): string {
  if (!bytes) return "";
  const gib = bytes / 2 ** 30;
  return gib >= 1 ? `${gib >= 100 ? Math.round(gib) : gib.toFixed(1)} GiB` : `${Math.round(bytes / 2 ** 20)} MiB`;
}

export function cpus(nano: number | undefined): string {
  if (!nano) return "";
  const number = nano / 1e9;
  return `${Number.isInteger(number) ? number : number.toFixed(1)} CPU${number === 1 ? "" : "s"}`;
}

export const many = (number: number, one: string, more = `${one}s`): string =>
  `${number.toLocaleString("en")} ${number === 1 ? one : more}`;

/** The time of day; with the date when it is not today's. */
export function clock(time: string | number, now: number): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return "";
  const day = new Date(now).toDateString() === date.toDateString() ? "" : `${date.toLocaleDateString()} `;
  return day + date.toLocaleTimeString([], { hour12: false });
}

/** Docker's words for an update's state. */
export function updateWords(state: string | undefined): string {
  return (state ?? "").replaceAll("_", " ");
}
