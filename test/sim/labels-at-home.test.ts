/**
 * A chain that ends on the device where it began, with a server between: labels never leave the device,
 * and what is trained is what one process trains.
 */
import { afterEach, describe, expect, it, vi } from "vitest";
import { Channel } from "../../src/run/wire/channel.ts";
import { decodePeerFrame } from "../../src/run/wire/frame.ts";
import { interpreterEngine } from "../../src/sim/engines.ts";
import { type SimulationOptions, simulate } from "../../src/sim/simulate.ts";
import { smallFleet, smallJob, smallModel } from "./small-job.ts";

const job = smallJob({ fleet: { devices: 1 }, rounds: 3 });
const atHome = smallJob({ fleet: { devices: 1 }, rounds: 3, split: { labels: "at-home" } });
const options = (more: Partial<SimulationOptions> = {}): SimulationOptions => ({
  job,
  model: smallModel(),
  nodes: smallFleet(job),
  engine: interpreterEngine,
  ...more,
});

const { forward } = Channel.prototype;
afterEach(() => vi.restoreAllMocks());

/** Tensors of all features that were sent, by the stage that they were for. */
async function featuresOf(run: SimulationOptions): Promise<Map<number, Set<string>>> {
  const sent = new Map<number, Set<string>>();
  vi.spyOn(Channel.prototype, "forward").mockImplementation(function (
    this: Channel<never>,
    frame,
    fate,
  ) {
    if (new TextDecoder().decode(frame.head).includes('"type":"feature"')) {
      const { message, tensors } = decodePeerFrame(frame);
      if (message.type !== "feature") throw new Error("a header says what its message is");
      sent.set(message.stage, new Set([...(sent.get(message.stage) ?? []), ...tensors.keys()]));
    }
    forward.call(this, frame, fate);
  });
  await simulate(run);
  return sent;
}

describe("a chain that ends where it began", () => {
  it("sends no labels, as a chain that ends on a server must", async () => {
    const two = await featuresOf(options());
    expect(two).toEqual(new Map([[1, new Set(["0.0", "labels"])]]));
    const three = await featuresOf(options({ job: atHome }));
    const features = new Set(["0.0"]);
    expect(three).toEqual(
      new Map([
        [1, features],
        [2, features],
      ]),
    );
  });

  it("trains what a chain of two trains, bit for bit", async () => {
    const two = await simulate(options());
    const three = await simulate(options({ job: atHome }));
    expect(three.end.reason).toBe("finished");
    expect(three.files.get("weights.safetensors")).toEqual(two.files.get("weights.safetensors"));
  });
});
