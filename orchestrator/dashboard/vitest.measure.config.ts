// `npm run measure`: figures of the page with a large cluster; no test, nothing is judged by it.
import { defineConfig } from "vitest/config";

export default defineConfig({ test: { include: ["tests/measure.browser.ts"], disableConsoleIntercept: true } });
