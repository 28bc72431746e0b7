// A log as Docker frames it, `[stream, 0, 0, 0, length as u32 big-endian] payload`, cut into lines.

export interface LogLine {
  number: number;
  stream: "stdout" | "stderr";
  time: string;
  task: string;
  text: string;
}

/** Lines kept; the oldest go first. */
export const KEPT_LINES = 5_000;

/** Both lists as one by time. The past of several tasks comes task by task; what is followed is in order already. */
export function inOrder(before: readonly LogLine[], more: readonly LogLine[]): LogLine[] {
  const all = before.concat(more);
  let last = before.at(-1)?.time ?? "";
  for (const line of more) {
    if (line.time < last) return all.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : a.number - b.number));
    last = line.time;
  }
  return all;
}

const DETAILS = /^(\S+) (\S*com\.docker\.swarm\.task\.id=\S*) ?/;

/** Takes bytes, gives whole lines. `framed` is false for a task with a terminal. */
export class LogReader {
  private bytes = new Uint8Array(0);
  private number = 0;
  private readonly decoder = new TextDecoder();

  constructor(private readonly framed: boolean) {}

  push(more: Uint8Array): LogLine[] {
    const joined = new Uint8Array(this.bytes.length + more.length);
    joined.set(this.bytes);
    joined.set(more, this.bytes.length);
    this.bytes = joined;
    return this.framed ? this.frames() : this.plain();
  }

  private frames(): LogLine[] {
    const lines: LogLine[] = [];
    let at = 0;
    const view = new DataView(this.bytes.buffer);
    while (this.bytes.length - at >= 8) {
      const length = view.getUint32(at + 4);
      if (this.bytes.length - at - 8 < length) break;
      const text = this.decoder.decode(this.bytes.subarray(at + 8, at + 8 + length));
      lines.push(this.line(this.bytes[at] === 2 ? "stderr" : "stdout", text));
      at += 8 + length;
    }
    this.bytes = this.bytes.slice(at);
    return lines;
  }

  private plain(): LogLine[] {
    const end = this.bytes.lastIndexOf(10) + 1;
    const text = this.decoder.decode(this.bytes.subarray(0, end));
    this.bytes = this.bytes.slice(end);
    return text.split("\n").slice(0, -1).map((line) => this.line("stdout", line));
  }

  /** `time details text`; details name the task. */
  private line(stream: LogLine["stream"], text: string): LogLine {
    const found = DETAILS.exec(text);
    const number = this.number++;
    const clean = (rest: string) => rest.replace(COLOURS, "").replace(/\r?\n?$/, "");
    if (!found) return { number, stream, time: "", task: "", text: clean(text) };
    const task = /com\.docker\.swarm\.task\.id=([^,\s]*)/.exec(found[2] ?? "")?.[1] ?? "";
    return { number, stream, time: found[1] ?? "", task, text: clean(text.slice(found[0].length)) };
  }
}

// A terminal's colours and movements say nothing here.
const COLOURS = /\u001b\[[0-9;?]*[A-Za-z]/g;
