// What a reader sees and does, in a real browser, with a simulated cluster behind the page.

import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { found, launch } from "../../../tests/web/browser";
import { Feed } from "./feed";

describe.skipIf(!found)("the dashboard", () => {
  let browser: Browser;
  let feed: Feed;
  let page: Page;
  let address: string;
  const complaints: string[] = [];

  beforeAll(async () => {
    browser = await launch();
  });
  afterAll(() => browser?.close());

  async function show(readOnly = false): Promise<void> {
    feed.readOnly = readOnly;
    address = `${await feed.start()}/dashboard/`;
    page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    page.setDefaultTimeout(30_000);
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    await page.goto(address);
    await page.getByText("3 of 3 nodes ready").waitFor();
  }

  beforeEach(() => {
    complaints.length = 0;
    feed = new Feed({ nodes: 3, services: 9, tasks: 22 });
  });
  afterEach(async () => {
    await page.close();
    await feed.stop();
  });

  test("shows every node with its tasks and changes with the cluster, without asking again", async () => {
    await show();
    expect(await page.getByRole("article").count()).toBe(3);
    expect(await page.locator("button.task").count()).toBe(22);
    const task = feed.tasks[0]!;
    feed.tellTask({ ...task, Status: { ...task.Status, State: "failed", Err: "task: non-zero exit (3)" } });
    await page.locator("button.task.failed").getByText("task: non-zero exit (3)").waitFor();
    await page.getByText("21 of 22 tasks running").waitFor();
    feed.tell([{ Kind: "task", ID: task.ID, Action: "remove" }]);
    await page.locator("button.task.failed").waitFor({ state: "detached" });
    const node = feed.nodes[2]!;
    feed.tell([{ Kind: "node", ID: node.ID, Action: "update", Object: { ...node, Status: { ...node.Status, State: "down" } } }]);
    await page.getByText("2 of 3 nodes ready").waitFor();
    await page.getByRole("link", { name: "Events" }).click();
    await page.getByText("failed on m1: task: non-zero exit (3)").waitFor();
    expect(complaints).toEqual([]);
  });

  test("keyboard alone leads to a task and back", async () => {
    await show();
    await page.locator("button.task").first().focus();
    await page.keyboard.press("ArrowDown");
    const name = await page.evaluate(() => document.activeElement?.querySelector(".name")?.textContent);
    expect(name).toMatch(/^demo_/);
    await page.keyboard.press("Enter");
    await page.getByRole("complementary").getByText("The simulated cluster says this of task").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("complementary").waitFor({ state: "detached" });
    expect(await page.evaluate(() => document.activeElement?.querySelector(".name")?.textContent)).toBe(name);
  });

  test("scales a service after asking, and says why when it is refused", async () => {
    await show();
    await page.getByRole("link", { name: "Services" }).click();
    await page.getByRole("link", { name: /demo_customers 2/ }).click();
    await page.getByRole("button", { name: "Scale" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Replicas").fill("-1");
    await dialog.getByText("Give a whole number, 0 or more.").waitFor();
    expect(await dialog.getByRole("button", { name: "Scale" }).isDisabled()).toBe(true);
    feed.refuse = { status: 409, message: "service web is at version 8, expected 7" };
    await dialog.getByLabel("Replicas").fill("7");
    await dialog.getByRole("button", { name: "Scale" }).click();
    await dialog.getByText("Refused, nothing was changed: service web is at version 8").waitFor();
    await dialog.getByRole("button", { name: "Scale" }).click();
    await page.getByText("Scale demo_customers: accepted.").waitFor();
    const last = feed.writes.at(-1) as { path: string; body: { Mode: unknown; Name: string } };
    expect(last.path).toBe("/services/service1/update?version=5");
    expect(last.body).toMatchObject({ Name: "demo_customers", Mode: { Replicated: { Replicas: 7 } } });
  });

  test("a roll-out shows how far it is and what it waits for", async () => {
    await show();
    const service = feed.services[0]!;
    const startedAt = new Date().toISOString();
    feed.tellService({ ...service, UpdateStatus: { State: "updating", StartedAt: startedAt } });
    const [one, two] = [feed.tasks[0]!, feed.tasks[1]!];
    feed.tellTask({ ...one, CreatedAt: new Date(Date.now() + 1_000).toISOString() });
    feed.tellTask({ ...two, Status: { ...two.Status, State: "pending", Err: "the update works on other slots first" } });
    await page.getByRole("link", { name: "Services" }).click();
    await page.getByText("updating: 1 of 6 renewed · 1× the update works on other slots first").waitFor();
    await page.getByRole("link", { name: /Not running/ }).click();
    await page.getByText("1 task should run and does not").waitFor();
  });

  test("a broken connection is said, mended and loses nothing", async () => {
    await show();
    feed.away = true;
    feed.cut();
    const task = feed.tasks[0]!;
    await page.getByRole("alert").getByText("Not live: The swarm does not have a leader.").waitFor();
    feed.away = false;
    await page.getByRole("alert").waitFor({ state: "detached" });
    feed.tellTask({ ...task, Status: { ...task.Status, State: "starting" } });
    await page.getByText("21 of 22 tasks running").waitFor();
  });

  test("read-only, there is nothing to do and no log", async () => {
    await show(true);
    await page.goto(`${address}#/services/service/service1`);
    await page.getByRole("complementary").getByText("The simulated cluster says this").waitFor();
    expect(await page.getByRole("complementary").getByRole("button").allTextContents()).toEqual(["✕"]);
    expect(await page.getByRole("link", { name: "Logs" }).count()).toBe(0);
    await page.goto(`${address}#/nodes/node/node1`);
    await page.getByRole("complementary").getByText("m2").or(page.getByRole("complementary").getByText("w1")).first().waitFor();
    expect(await page.getByRole("button", { name: "Drain" }).count()).toBe(0);
  });

  test("a log is shown as it grows and can be searched", async () => {
    await show();
    await page.goto(`${address}#/services/logs/service:service1`);
    await page.getByText("line 300: a customer was asked for").waitFor();
    await page.getByRole("searchbox", { name: "Filter lines" }).fill("line 17:");
    await page.getByText("line 17: a customer was asked for").waitFor();
    expect(await page.locator(".log .line").count()).toBe(1);
  });

  test("on a phone nothing sticks out sideways", async () => {
    await show();
    await page.setViewportSize({ width: 360, height: 740 });
    for (const view of ["nodes", "services", "problems", "events", "services/service/service1", "nodes/node/node0"]) {
      await page.goto(`${address}#/${view}`);
      await page.locator("main h1").waitFor({ state: "attached" });
      expect(await page.evaluate(() => document.documentElement.scrollWidth), view).toBeLessThanOrEqual(360);
    }
  });
});
