// Builds the page into dist/page; addresses are absolute: the gateway serves it at its root.
import vue from "@vitejs/plugin-vue";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [vue()],
  build: { outDir: "dist/page", emptyOutDir: true, modulePreload: { polyfill: false }, assetsInlineLimit: 0 },
  define: { __VUE_OPTIONS_API__: "false" },
});
