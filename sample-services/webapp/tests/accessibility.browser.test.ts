// axe's rules (https://github.com/dequelabs/axe-core) on the shop: light and dark, desktop and phone, with failures shown.

import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { found, launch, pageWithAxe, violations } from "../../../tests/web/browser";
import { Shop } from "./shop";

const WIDTHS = { desktop: 1280, phone: 360 };

describe.skipIf(!found)("axe finds nothing", () => {
  let browser: Browser;

  beforeAll(async () => {
    browser = await launch();
  });
  afterAll(() => browser?.close());

  for (const scheme of ["light", "dark"] as const) {
    for (const [device, width] of Object.entries(WIDTHS)) {
      test(`${scheme}, ${device}`, async () => {
        const shop = new Shop();
        const address = await shop.start();
        const page = await pageWithAxe(browser, { viewport: { width, height: 900 }, colorScheme: scheme });
        await page.goto(address);
        await page.getByText("No customer yet").waitFor();
        expect(await violations(page), "empty").toEqual([]);
        shop.documents.Customers?.push({ id: "1", name: "Ada", address: "here" });
        shop.documents.Products?.push({ id: "2", name: "bolt" });
        shop.documents.Invoices?.push({ id: "3", customerId: "1", productId: "2", quantity: 3, issuedAt: new Date().toISOString() });
        await page.getByText("3 × bolt").waitFor();
        expect(await violations(page), "filled").toEqual([]);
        await page.getByRole("button", { name: "Add customer" }).click();
        await page.getByText("must not be empty").first().waitFor();
        shop.away.add("Customers");
        await page.getByText("The list cannot be read").first().waitFor();
        expect(await violations(page), "failures").toEqual([]);
        await page.close();
        await shop.stop();
      });
    }
  }
});
