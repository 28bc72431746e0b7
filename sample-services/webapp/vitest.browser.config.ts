// The page as built, in a real browser, with a simulated shop behind it.
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: { include: ["tests/**/*.browser.test.ts"], testTimeout: 60_000, hookTimeout: 60_000, fileParallelism: false },
});
