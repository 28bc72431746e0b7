// What the browser tests of both pages share: the machine's own Chromium, headless (nothing is downloaded), and axe.

import axe from "axe-core";
import { existsSync } from "node:fs";
import { chromium, type Browser, type BrowserContextOptions, type Page } from "playwright-core";

const PLACES = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

export const found = PLACES.find((path) => path && existsSync(path));

export function launch(): Promise<Browser> {
  if (!found) throw new Error("no Chromium here: apt-get install chromium, or name one in CHROMIUM");
  // As root there is no sandbox; the pages are ours. Small machines have a small /dev/shm.
  return chromium.launch({ executablePath: found, args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"] });
}

/** A page that `violations` may be asked about. */
export async function pageWithAxe(browser: Browser, options: BrowserContextOptions): Promise<Page> {
  const page = await browser.newPage(options);
  page.setDefaultTimeout(30_000);
  await page.addInitScript(axe.source);
  return page;
}

/** What axe's rules (https://github.com/dequelabs/axe-core) find in the page, one line each: rule, element, why. */
export async function violations(page: Page): Promise<string[]> {
  const { violations } = await page.evaluate(() => (globalThis as unknown as { axe: typeof axe }).axe.run());
  return violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html}: ${node.failureSummary}`));
}
