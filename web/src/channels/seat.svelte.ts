// A seat among those who watch a channel: what opens its addresses, held for as long as somebody uses them, and given back then.
import { Refused, told } from "../lib/problem";
import { watchUrl } from "../status/rows";
import { rewatch, stillWatched, watch, watchedNoMore, type Channel, type Playback } from "./api";

/** A lease that nothing is heard of runs out after a minute. */
const BEAT_MS = 20_000;

export class Seat {
  /** What it was opened with; a newer token does not change it. */
  playback = $state.raw<Playback | null>(null);
  /** Addresses with the newest token. */
  urls = $state.raw<Playback["urls"] | null>(null);
  fault = $state("");
  /** The lease that is held. */
  #held: string | null = null;
  /** The newest token of it, and when another is asked for. */
  #token: { id: string; renewAt: number } | null = null;
  /** Counts the openings: what comes of an earlier one is given back. */
  #turn = 0;

  /** `renewed` hears of every further token. */
  constructor(private readonly channel: Channel, private readonly renewed: (token: string) => void = () => undefined) {}

  /** Holds it for as long as a component that is being set up is there. */
  hold(): void {
    $effect(() => {
      void this.begin();
      const timer = setInterval(() => void this.beat(), BEAT_MS);
      return () => {
        clearInterval(timer);
        this.end();
      };
    });
  }

  async begin(): Promise<void> {
    this.end();
    const mine = this.#turn;
    this.fault = "";
    try {
      const got = await watch(this.channel.id);
      const lease = got.token?.lease_id ?? null;
      if (mine === this.#turn) [this.playback, this.urls, this.#held, this.#token] = [got, got.urls, lease, newest(got)];
      else if (lease) watchedNoMore(lease);
    } catch (error) {
      if (mine === this.#turn) this.fault = told(error);
    }
  }

  end = (): void => {
    this.#turn += 1;
    if (this.#held) watchedNoMore(this.#held);
    [this.#held, this.#token, this.playback, this.urls] = [null, null, null, null];
  };

  async beat(): Promise<void> {
    const mine = this.#turn;
    if (!this.#held) return;
    try {
      await stillWatched(this.#held);
      await this.#renew();
    } catch (error) {
      // Without a network, or while a service is away, it is tried again; a lease that is over is over.
      const over = error instanceof Refused && [401, 403, 404].includes(error.status);
      if (mine !== this.#turn || !over) return;
      this.end();
      this.fault = told(error);
    }
  }

  /** The picture goes on with another token; the addresses that are shown are those of now. */
  async #renew(): Promise<void> {
    const mine = this.#turn;
    if (!this.#token || performance.now() < this.#token.renewAt) return;
    const got = await rewatch(this.channel.id, this.#token.id);
    if (mine !== this.#turn || !got.token) return;
    [this.#token, this.urls] = [newest(got), got.urls];
    this.renewed(got.token.token);
  }

  /** An address as this browser's machine reaches it. */
  reach = (url: string): string => watchUrl({ key: this.channel.stream, watch_url: url }, location) ?? "";

  /** The address of a path where the channel is watched, with what opens it: with the newest token, or with that of another answer. */
  at(path: string, urls = this.urls): string {
    const { hls } = urls ?? {};
    return hls ? this.reach(hls.slice(0, hls.indexOf(`/${this.channel.stream}/`)) + path) : "";
  }
}

/** At half of its life, by a clock that nobody sets. */
function newest({ token }: Playback) {
  return token ? { id: token.id, renewAt: performance.now() + token.lasts_s * 500 } : null;
}
