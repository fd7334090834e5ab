/** Seeds of this commit once more, with the engine that trains for real. */
import { afterAll, describe, it } from "vitest";
import { NativeEngine } from "../../src/nodejs/engine.ts";
import { firstSeed } from "../swarm/first-seed.ts";
import { runSeed } from "../swarm/seed.ts";
import { sharing } from "../swarm/shared-engine.ts";

const { seed: first, from } = firstSeed();
const count = 20;
const native = new NativeEngine({ threads: 1 });
const engine = sharing(native);

afterAll(() => native.close());

describe(`seeds from ${first} (${from}) on onnxruntime`, () => {
  it.each(Array.from({ length: count }, (_, i) => first + i))("seed %i", async (seed) => {
    await runSeed(seed, engine);
  });
});
