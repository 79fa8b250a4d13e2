// hls.js with this page's settings; a chunk of its own, loaded beside the page.
import Hls from "hls.js";
import type { LoaderCallbacks, LoaderConfiguration, LoaderContext } from "hls.js";
import { hlsConfig } from "./config";
import type { HeadStart } from "./headstart";
import type { Pass } from "./stream";

export { Hls };

/** A player that asks with the newest token, and whose first requests are answered by `head`, if there is one. */
export function createHls(pass: Pass, head: HeadStart | null): Hls {
  return new Hls({ ...hlsConfig, loader: ourLoader(pass, head) });
}

function ourLoader(pass: Pass, head: HeadStart | null) {
  return class OurLoader extends Hls.DefaultConfig.loader {
    private dropped = false;

    override load(context: LoaderContext, config: LoaderConfiguration, callbacks: LoaderCallbacks<LoaderContext>): void {
      context.url = pass.on(context.url);
      const load = () => this.dropped || super.load(context, config, callbacks);
      if (head && context.url.includes("_HLS_msn=")) return void head.settled().then(load);
      const early = context.rangeEnd ? undefined : head?.take(context.url);
      if (!early) return super.load(context, config, callbacks);
      this.context = context;
      early.then(
        ({ body, start, end }) => {
          if (this.dropped) return;
          const { stats } = this;
          stats.loaded = stats.total = typeof body === "string" ? body.length : body.byteLength;
          Object.assign(stats.loading, { start, first: end, end });
          callbacks.onSuccess({ url: context.url, data: body, code: 200 }, stats, context, null);
        },
        load,
      );
    }

    override abort(): void {
      this.dropped = true;
      super.abort();
    }

    override destroy(): void {
      this.dropped = true;
      super.destroy();
    }
  };
}
