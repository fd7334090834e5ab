import { simLinks } from "../../src/sim/link.ts";
import { World } from "../../src/sim/world.ts";
import { testLink } from "../contract/link.ts";

/** Each in a world of its own. */
function virtual(name: string, latencyMs: number, bytesPerMs: number | null): void {
  let world = new World();
  testLink({
    name,
    open: () => {
      world = new World();
      return Promise.resolve(simLinks(world, { latencyMs, bytesPerMs }));
    },
    until: (isSo) => world.run(isSo),
    carriesHollow: true,
  });
}

virtual("in virtual time, at once", 0, null);
virtual("in virtual time, with a delay and a rate", 20, 1000);
