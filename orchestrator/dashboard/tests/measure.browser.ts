// Measures the page with a large simulated cluster and prints the figures. Run by `npm run measure`.

import { expect, test } from "vitest";
import type { Task } from "../src/core/objects";
import { launch } from "../../../tests/web/browser";
import { Feed } from "./feed";

const SIZES = { nodes: 1_000, services: 200, tasks: 20_000 };
/** Changed tasks in a second while frames are measured: a rolling update of everything within a minute. */
const CHANGES_A_SECOND = 400;

test("1,000 nodes and 20,000 tasks", async () => {
  const feed = new Feed(SIZES);
  const address = await feed.start();
  const browser = await launch();
  const page = await browser.newPage({ viewport: { width: 1600, height: 1000 } });
  const figures: Record<string, string> = {};

  const began = performance.now();
  await page.goto(`${address}/dashboard/`);
  await page.getByText("20000 of 20,000 tasks running").waitFor();
  figures["all of it shown after"] = `${Math.round(performance.now() - began)} ms`;

  let at = 0;
  const churn = setInterval(() => {
    const changes = Array.from({ length: CHANGES_A_SECOND / 20 }, () => {
      const task = feed.tasks[(at += 7) % feed.tasks.length] as Task;
      const state = at % 3 ? "running" : "starting";
      return { Kind: "task", ID: task.ID, Action: "update" as const, Object: { ...task, Status: { ...task.Status, State: state, Timestamp: new Date().toISOString() } } };
    });
    feed.tell(changes);
  }, 50);

  /** Frames while `act` goes on: longest, and how many took longer than 50 ms. */
  async function frames(label: string, scroll: number): Promise<void> {
    const result = await page.evaluate(async (by) => {
      const region = document.querySelector(".view > .scroll") as HTMLElement;
      const times: number[] = [];
      let last = performance.now();
      const end = last + 4_000;
      while (performance.now() < end) {
        await new Promise(requestAnimationFrame);
        const now = performance.now();
        times.push(now - last);
        last = now;
        region.scrollTop += by;
      }
      times.sort((a, b) => a - b);
      return { frames: times.length, p50: times[times.length >> 1] ?? 0, p99: times[Math.floor(times.length * 0.99)] ?? 0, longest: times.at(-1) ?? 0 };
    }, scroll);
    figures[label] = `${(result.frames / 4).toFixed(0)} frames/s, p50 ${result.p50.toFixed(0)} ms, p99 ${result.p99.toFixed(0)} ms, longest ${result.longest.toFixed(0)} ms`;
  }

  await frames(`nodes, at rest, ${CHANGES_A_SECOND} changes/s`, 0);
  figures["elements in the page"] = String(await page.evaluate(() => document.querySelectorAll("*").length));
  await frames("nodes, scrolled by 60 px a frame", 60);
  await page.getByLabel("Size of tasks").selectOption("cards");
  await frames("nodes as cards, scrolled", 60);
  await page.getByRole("searchbox").fill("customers_db");
  await frames("nodes, filtered", 0);
  await page.getByRole("link", { name: "Services" }).click();
  await frames("services, scrolled", 30);
  await page.getByRole("link", { name: /Not running/ }).click();
  await frames("not running, scrolled", 30);

  // From the moment a change is sent until the page shows it.
  clearInterval(churn);
  await page.getByRole("link", { name: "Nodes" }).click();
  await page.getByRole("searchbox").fill("");
  const task = feed.tasks[0] as Task;
  const waits: number[] = [];
  for (let n = 0; n < 20; n += 1) {
    const err = `change ${n} of twenty`;
    const seen = page.locator(`button.task[title*="${err}"]`).first().waitFor({ state: "attached" });
    const sent = performance.now();
    feed.tellTask({ ...task, Status: { ...task.Status, State: "pending", Err: err } });
    await seen;
    waits.push(performance.now() - sent);
  }
  waits.sort((a, b) => a - b);
  figures["a change is seen after (p50, most)"] = `${waits[10]?.toFixed(0)} ms, ${waits.at(-1)?.toFixed(0)} ms`;
  const session = await page.context().newCDPSession(page);
  await session.send("HeapProfiler.collectGarbage");
  const heap = await session.send("Runtime.getHeapUsage");
  figures["memory of the page's script"] = `${(heap.usedSize / 2 ** 20).toFixed(0)} MiB`;
  console.table(figures);
  expect(feed.tasks.length).toBe(SIZES.tasks);
  await browser.close();
  await feed.stop();
}, 180_000);
