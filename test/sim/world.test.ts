import { describe, expect, it } from "vitest";
import { World } from "../../src/sim/world.ts";

describe("a world that another clock drives", () => {
  it("fires what is due in order, each at its own time, and then it is the time that was said", () => {
    const world = new World();
    const seen: [string, number][] = [];
    const note = (what: string) => () => seen.push([what, world.now()]);
    world.at(30, note("c"));
    world.at(10, () => {
      note("a")();
      world.after(5, note("b"));
    });
    expect(world.nextMs).toBe(10);
    world.advance(20);
    expect(seen).toEqual([
      ["a", 10],
      ["b", 15],
    ]);
    expect(world.now()).toBe(20);
    world.advance(5);
    expect(world.now()).toBe(20);
    world.advance(30);
    expect(seen.at(-1)).toEqual(["c", 30]);
    expect(world.nextMs).toBe(Number.POSITIVE_INFINITY);
  });

  it("fires nothing that was cancelled", () => {
    const world = new World();
    let fired = 0;
    const cancel = world.at(1, () => fired++);
    cancel();
    world.advance(2);
    expect(fired).toBe(0);
  });
});
