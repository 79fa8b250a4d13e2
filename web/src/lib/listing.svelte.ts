// A list that the server gives in pages: what there is of it, how to get more, and how it is kept fresh.
import type { Page } from "./ask";
import { Refused, told } from "./problem";

export class Listing<T extends { id: string }> {
  /** None before the first answer. */
  items = $state.raw<T[] | null>(null);
  next = $state<string | null>(null);
  fault = $state("");
  /** The server wants to know first who asks. */
  locked = $state(false);
  #turn = 0;
  /** Counts answers and failures. */
  #heard = $state(0);
  #asking = 0;
  /** Pages after the first have been fetched. */
  #further = false;

  constructor(private readonly read: (cursor: string | null) => Promise<Page<T>>) {}

  /** From its beginning, or what comes after what is there. */
  async load(cursor: string | null = null): Promise<void> {
    const turn = (this.#turn += 1);
    this.#asking += 1;
    try {
      const page = await this.read(cursor);
      if (turn !== this.#turn) return;
      this.items = cursor === null ? page.items : [...(this.items ?? []), ...page.items];
      this.next = page.next_cursor ?? null;
      this.#further = cursor !== null;
      [this.fault, this.locked] = ["", false];
    } catch (error) {
      if (turn !== this.#turn) return;
      this.locked = error instanceof Refused && error.locked;
      this.fault = told(error);
    } finally {
      this.#asking -= 1;
      this.#heard += 1;
    }
  }

  /**
   * Looks again `pause` milliseconds after each answer and each failure, until that is null; not while nobody sees the page,
   * and not where that would take pages away. For a component that is being set up.
   */
  follow(pause: () => number | null): void {
    $effect(() => {
      void this.#heard;
      const ms = pause();
      if (ms === null) return;
      const timer = setInterval(() => document.hidden || this.#further || this.#asking > 0 || void this.load(), ms);
      return () => clearInterval(timer);
    });
  }

  put = (item: T) => this.#change((items) => items.map((each) => (each.id === item.id ? item : each)));
  drop = (id: string) => this.#change((items) => items.filter((each) => each.id !== id));

  /** An answer that is under way is of before, and counts no more. */
  #change(how: (items: T[]) => T[]): void {
    this.#turn += 1;
    this.items = how(this.items ?? []);
  }
}
