// A list that the server gives in pages: what there is of it, and how to get more.
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

  constructor(private readonly read: (cursor: string | null) => Promise<Page<T>>) {}

  /** From its beginning, or what comes after what is there. */
  async load(cursor: string | null = null): Promise<void> {
    const turn = (this.#turn += 1);
    try {
      const page = await this.read(cursor);
      if (turn !== this.#turn) return;
      this.items = cursor === null ? page.items : [...(this.items ?? []), ...page.items];
      this.next = page.next_cursor ?? null;
      [this.fault, this.locked] = ["", false];
    } catch (error) {
      this.locked = error instanceof Refused && error.locked;
      this.fault = told(error);
    }
  }

  put = (item: T) => (this.items = (this.items ?? []).map((each) => (each.id === item.id ? item : each)));
  drop = (id: string) => (this.items = (this.items ?? []).filter((each) => each.id !== id));
}
