// Build of the pages: watch.html and, for the gateway, status.html, recordings.html, errors.html, account.html,
// people.html, channels.html and server.html, with hashed files under dist/assets/.
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig, type Plugin } from "vite";

/**
 * Has the watch page fetch hls.js at once, in parallel with the page's own script, although it is
 * imported dynamically: the page paints without it, and the first picture does not wait for it.
 */
function preloadHls(): Plugin {
  return {
    name: "preload-hls",
    transformIndexHtml: {
      order: "post",
      handler(_html, { bundle, filename }) {
        if (!bundle || !filename.endsWith("watch.html")) return;
        const chunk = Object.values(bundle).find((file) => file.type === "chunk" && file.name === "hls");
        if (!chunk) throw new Error("the hls chunk is missing from the bundle");
        return [
          {
            tag: "link",
            attrs: { rel: "modulepreload", crossorigin: true, href: `/${chunk.fileName}` },
            injectTo: "head",
          },
        ];
      },
    },
  };
}

// `vite build --mode watch`, `status`, `recordings`, `errors`, `account`, `people`, `channels` or `server`: a build for each page. They
// are served by different ports, so a shared chunk would be cached twice anyway, and each would carry the other's code.
export default defineConfig(({ mode }) => ({
  base: "/",
  plugins: [svelte(), preloadHls()],
  build: {
    target: "es2022",
    outDir: "dist",
    assetsDir: "assets",
    emptyOutDir: mode === "watch",
    modulePreload: false,
    // No inlined files: the policy of the server allows data URIs for pictures only.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 700,
    rolldownOptions: { input: `${mode}.html` },
  },
}));
