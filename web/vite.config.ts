import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

/** Where `./dev web` finds the node (or the recorded one of dev/) whose API it forwards to. */
const api = process.env["MEPASSA_API"] ?? "http://127.0.0.1:8787";

export default defineConfig({
  plugins: [svelte()],
  build: {
    outDir: "../src/mepassa/client/web_dist",
    emptyOutDir: true,
    target: "es2022",
    // The node answers with `default-src 'self'`: nothing may become a data: URL or an inline script.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: { input: ["index.html", "demo.html"] },
  },
  // One host for page and node: the node's cookie counts for every port of 127.0.0.1, and it checks where one comes from.
  server: { host: "127.0.0.1", proxy: { "/api": { target: api, ws: true, changeOrigin: true, headers: { Origin: api } } } },
  test: { include: ["tests/**/*.test.ts"], environment: "node" },
});
