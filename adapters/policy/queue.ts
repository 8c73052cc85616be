/**
 * First in, first out within a group, the groups taking turns: one group with many or slow items delays another by one item, not by all.
 */
export class FairQueue<T> {
  readonly #groups = new Map<string, Set<T>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(group: string, item: T): void {
    const items = this.#groups.get(group) ?? new Set();
    if (items.size === 0) this.#groups.set(group, items);
    items.add(item);
    this.#size += 1;
  }

  /** Takes the next item; undefined if there is none. */
  take(): T | undefined {
    for (const [group, items] of this.#groups) {
      for (const item of items) {
        this.remove(group, item);
        if (this.#groups.delete(group)) this.#groups.set(group, items); // to the end
        return item;
      }
    }
    return undefined;
  }

  /** Takes an item out of turn; nothing happens if it is not there. */
  remove(group: string, item: T): void {
    const items = this.#groups.get(group);
    if (items?.delete(item) !== true) return;
    this.#size -= 1;
    if (items.size === 0) this.#groups.delete(group);
  }
}
