// The machine's own Chromium, headless; nothing is downloaded.

import { existsSync } from "node:fs";
import { chromium, type Browser } from "playwright-core";

const PLACES = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

export const found = PLACES.find((path) => path && existsSync(path));

export function launch(): Promise<Browser> {
  if (!found) throw new Error("no Chromium here: apt-get install chromium, or name one in CHROMIUM");
  // As root there is no sandbox; the pages are ours. Small machines have a small /dev/shm.
  return chromium.launch({ executablePath: found, args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"] });
}
