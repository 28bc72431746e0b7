// Builds the page into dist/page, with relative addresses: it is served under several paths.
import vue from "@vitejs/plugin-vue";
import { defineConfig } from "vite";

export default defineConfig({
  base: "./",
  plugins: [vue()],
  build: { outDir: "dist/page", emptyOutDir: true, modulePreload: { polyfill: false }, assetsInlineLimit: 0 },
  define: { __VUE_OPTIONS_API__: "false" },
});
