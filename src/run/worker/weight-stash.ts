/**
 * Weight stashing: with several batches under way, an update must not touch the parameters that a
 * batch went forward with until it has come back (Narayanan et al., "PipeDream", 2019). So a copy's
 * parameters may be there in several versions, each with a place of its own in the engine. A place
 * is used again once nobody needs what is in it; with one batch at a time there is one place, and
 * updates happen in it.
 */
import { present } from "../../base/assert.ts";

/** Place of a version, from 0. */
export type Place = number;

export class WeightStash {
  /** Batches under way that need what is in each place. */
  readonly #users: number[] = [0];
  #newest: Place = 0;

  /** Where the newest version is. */
  get newest(): Place {
    return this.#newest;
  }

  /** Forgets all batches and versions: the parameters are in place 0. */
  reset(): void {
    this.#users.splice(0, this.#users.length, 0);
    this.#newest = 0;
  }

  /** A batch goes forward with the newest version and will need it again. @returns its place */
  take(): Place {
    this.#users[this.#newest] = this.#usersOf(this.#newest) + 1;
    return this.#newest;
  }

  /** A batch that took what is there is done with it. */
  release(place: Place): void {
    this.#users[place] = this.#usersOf(place) - 1;
  }

  /** A new version comes to be. @returns where: in place of the last one, where nobody needs that any more */
  advance(): Place {
    if (this.#usersOf(this.#newest) > 0) {
      const free = this.#users.indexOf(0);
      this.#newest = free < 0 ? this.#users.push(0) - 1 : free;
    }
    return this.#newest;
  }

  #usersOf(place: Place): number {
    return present(this.#users[place], "a place of a version");
  }
}
