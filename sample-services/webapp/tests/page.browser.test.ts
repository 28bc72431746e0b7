// What a customer of the shop sees and does, in a real browser.

import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { found, launch } from "../../../tests/web/browser";
import { Shop } from "./shop";

describe.skipIf(!found)("the shop", () => {
  let browser: Browser;
  let page: Page;
  let shop: Shop;

  beforeAll(async () => {
    browser = await launch();
  });
  afterAll(() => browser?.close());
  beforeEach(async () => {
    shop = new Shop();
    const address = await shop.start();
    page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    page.setDefaultTimeout(30_000);
    await page.goto(address);
    await page.getByText("No customer yet").waitFor();
  });
  afterEach(async () => {
    await page.close();
    await shop.stop();
  });

  test("a customer, a product and an invoice for them are made by keyboard alone", async () => {
    await page.getByLabel("Name").first().focus();
    await page.keyboard.type("Ada");
    await page.keyboard.press("Tab");
    await page.keyboard.type("1 Loop Lane");
    await page.keyboard.press("Enter");
    await page.getByText("The customer is saved.").waitFor();
    const products = page.getByRole("region", { name: "Products" });
    await products.getByLabel("Name").focus();
    await page.keyboard.type("bolt");
    await page.keyboard.press("Enter");
    await page.getByText("The product is saved.").waitFor();
    await page.getByLabel("Quantity").fill("3");
    await page.keyboard.press("Enter");
    await page.getByText("3 × bolt").waitFor();
    await page.getByText(/for Ada, /).waitFor();
    expect(shop.documents.Invoices?.[0]).toMatchObject({ customerId: shop.documents.Customers?.[0]?.id, quantity: 3 });
    await page.getByText(/answered by customers-\d/).waitFor();
  });

  test("what is wrong is said at the field it is about", async () => {
    await page.getByRole("button", { name: "Add customer" }).click();
    await page.getByText("must not be empty").first().waitFor();
    const invalid = page.getByRole("region", { name: "Customers" }).getByLabel("Name");
    expect(await invalid.getAttribute("aria-invalid")).toBe("true");
  });

  test("a service that is away is named, its list stays, and it comes back by itself", async () => {
    shop.documents.Customers?.push({ id: "1", name: "Ada", address: "here" });
    await page.getByText("Ada").first().waitFor();
    shop.away.add("Customers");
    await page.getByText("The list cannot be read: customers cannot be reached: connection refused.").waitFor();
    expect(await page.getByText("Ada").first().isVisible()).toBe(true);
    // What went wrong with a document does not hide that the list is old.
    await page.getByRole("button", { name: "Add customer" }).click();
    await page.getByText(/Not saved: .* The list cannot be read: customers cannot be reached/).waitFor();
    shop.away.clear();
    await page.getByText("The list cannot be read").waitFor({ state: "detached" });
  });

  test("version 2 of customers is seen at once", async () => {
    shop.documents.Customers?.push({ id: "1", name: "Ada", address: "here" });
    shop.version = "2";
    await page.getByText("Hello, Ada!").waitFor();
    await page.getByRole("region", { name: /Customers/ }).getByText("version 2", { exact: true }).waitFor();
  });

  test("on a phone nothing sticks out sideways", async () => {
    await page.setViewportSize({ width: 360, height: 740 });
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
  });
});
