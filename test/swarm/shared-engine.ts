/**
 * Many nodes on one engine: each sees slots of its own. Starting a native engine and its
 * sessions for every node of every seed would take most of the time.
 */
import type { Engine, EngineRun, Slot } from "../../src/run/host.ts";

/** Makes engines that share one; closing them frees their slots and nothing else. */
export function sharing(engine: Engine): () => Engine {
  let views = 0;
  return () => {
    const own = `view ${views++}|`;
    const slots = <V>(values: ReadonlyMap<Slot, V>): Map<Slot, V> =>
      new Map([...values].map(([slot, value]) => [own + slot, value]));
    return {
      description: engine.description,
      load: (programs) => engine.load(programs),
      write: (values) => engine.write(slots(values)),
      read: async (names) => {
        const values = await engine.read(names.map((name) => own + name));
        return new Map([...values].map(([slot, value]) => [slot.slice(own.length), value]));
      },
      run: (run: EngineRun) =>
        engine.run({
          ...run,
          feeds: new Map(
            [...run.feeds].map(([name, fed]) => [name, typeof fed === "string" ? own + fed : fed]),
          ),
          keep: new Map([...run.keep].map(([name, slot]) => [name, own + slot])),
        }),
      drop: (prefix) => engine.drop(own + prefix),
      close: () => engine.drop(own),
    };
  };
}
