/**
 * What the benchmark of a server's memory starts beside the coordinator: an edge server that computes for
 * real, or devices that only make load, all of them in one process with engines that give zeros.
 */
import { arrayDataset, join, NativeEngine, SampleSource } from "edgeloom";
import { zeroEngine } from "edgeloom/sim";
import { type MemoryTask, sampleShape } from "./split-memory-task.ts";

const { features, classes, batch } = sampleShape;
const samples = new SampleSource(
  arrayDataset(
    Array.from({ length: features * batch }, (_, i) => i % 7),
    Array.from({ length: batch }, (_, i) => i % classes),
    { inputShape: [features], classes },
  ),
);
const plain = { duty: 1, memoryBytes: null, ceilingBytesPerMs: null, onEvent: (): void => {} };

process.once("message", async (task: MemoryTask) => {
  const { url } = task;
  const joined =
    task.kind === "server"
      ? [
          await join({
            ...{ ...plain, url, token: task.token, kind: "edge", name: task.name },
            ...{ train: null, listen: "127.0.0.1:0", engine: new NativeEngine({ threads: 1 }) },
          }),
        ]
      : await Promise.all(
          task.tokens.map((token, i) =>
            join({
              ...plain,
              ...{ url, token, name: `device-${i + 1}`, train: samples, engine: zeroEngine() },
            }),
          ),
        );
  await Promise.allSettled(joined.map(({ ended }) => ended));
  process.disconnect();
});
process.on("disconnect", () => process.exit());
