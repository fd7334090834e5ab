/** Names for values that a graph does not have yet: `relu_1`, `relu_2`, and so on. */
export class FreshNames {
  readonly #counts = new Map<string, number>();

  /** @param stem says where the value comes from */
  next(stem: string, isTaken: (name: string) => boolean): string {
    let name: string;
    do {
      const count = (this.#counts.get(stem) ?? 0) + 1;
      this.#counts.set(stem, count);
      name = `${stem}_${count}`;
    } while (isTaken(name));
    return name;
  }
}
