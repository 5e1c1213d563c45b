// Builds the terminal, the administration page and the REST reference into `dist/`. Everything a page loads comes from its own origin, and nothing is
// inlined, as the gateway's content policy runs no script or style within a page.
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  base: "/",
  // The plain page lies there, which is served where the terminal is not built.
  publicDir: false,
  resolve: {
    alias: { "@gen": here("../../gen/typescript") },
    // The generated code lies outside this folder, where no node_modules is above it.
    dedupe: ["@bufbuild/protobuf"],
  },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  worker: { format: "es" },
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 1000,
    rolldownOptions: { checks: { pluginTimings: false }, input: { terminal: here("index.html"), administration: here("administration.html"), reference: here("reference.html") } },
  },
  server: { proxy: Object.fromEntries(["/venue.", "/v1", "/healthz"].map((path) => [path, "http://localhost:8080"])) },
});
