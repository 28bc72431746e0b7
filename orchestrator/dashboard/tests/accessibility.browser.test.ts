// axe's rules (https://github.com/dequelabs/axe-core) on every view: light and dark, desktop and phone, with trouble shown.

import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { found, launch, pageWithAxe, violations } from "../../../tests/web/browser";
import { Feed } from "./feed";

const VIEWS = [
  "nodes", "services", "problems", "events",
  "services/service/service1", "nodes/node/node0", "problems/task/task000000", "services/logs/service:service1",
];
const WIDTHS = { desktop: 1280, phone: 360 };

/** Trouble of each kind: each has colours and words of its own. */
function trouble(feed: Feed): void {
  const [failed, starting, homeless] = [feed.tasks[0]!, feed.tasks[1]!, feed.tasks[2]!];
  feed.tellTask({ ...failed, Status: { ...failed.Status, State: "failed", Err: "task: non-zero exit (3)" } });
  feed.tellTask({ ...starting, Status: { ...starting.Status, State: "starting" }, Failures: 3 });
  feed.tellTask({ ...homeless, NodeID: "", Status: { ...homeless.Status, State: "pending", Err: "no suitable node" } });
  const [drained, down] = [feed.nodes[1]!, feed.nodes[2]!];
  feed.tell([
    { Kind: "node", ID: drained.ID, Action: "update", Object: { ...drained, Spec: { ...drained.Spec, Availability: "drain" } } },
    { Kind: "node", ID: down.ID, Action: "update", Object: { ...down, Status: { ...down.Status, State: "down" } } },
  ]);
  feed.tellService({ ...feed.services[0]!, UpdateStatus: { State: "paused", StartedAt: new Date().toISOString() } });
}

describe.skipIf(!found)("axe finds nothing", () => {
  let browser: Browser;
  let feed: Feed;
  let address: string;

  beforeAll(async () => {
    browser = await launch();
    feed = new Feed({ nodes: 3, services: 9, tasks: 22 });
    address = `${await feed.start()}/dashboard/`;
  });
  afterAll(async () => {
    await browser?.close();
    await feed?.stop();
  });

  for (const scheme of ["light", "dark"] as const) {
    for (const [device, width] of Object.entries(WIDTHS)) {
      test(`${scheme}, ${device}`, async () => {
        const page = await pageWithAxe(browser, { viewport: { width, height: 800 }, colorScheme: scheme });
        await page.goto(address);
        await page.getByText("3 of 3 nodes ready").waitFor();
        trouble(feed);
        await page.getByText("2 of 3 nodes ready").waitFor();
        for (const view of VIEWS) {
          await page.goto(`${address}#/${view}`);
          await page.locator("main h1").waitFor({ state: "attached" });
          if (view.split("/").length > 1) await page.getByRole("complementary").waitFor();
          expect(await violations(page), view).toEqual([]);
        }
        for (const size of ["cards", "rows", "dots"]) {
          await page.goto(`${address}#/nodes`);
          await page.getByLabel("Size of tasks").selectOption(size);
          expect(await violations(page), size).toEqual([]);
        }
        await page.goto(`${address}#/services/service/service1`);
        await page.getByRole("button", { name: "Scale" }).click();
        await page.getByRole("dialog").waitFor();
        expect(await violations(page), "a question").toEqual([]);
        await page.close();
      });
    }
  }
});
