/** What a node's links remember, and what it takes for that. */
import { expect, test } from "vitest";
import { chainId, copyId, nodeId } from "../../base/ids.ts";
import { RowMemory } from "../../codec/row-memory.ts";
import { type LinkEnd, memoryName } from "../link-memory.ts";
import { LinkMemories } from "./link-memories.ts";

const chain = chainId("chain:a");
const end: LinkEnd = {
  ...{ chain, copy: copyId("copy:a"), node: nodeId("a"), cut: 1 },
  ...{ way: "up", side: "sender", kind: "feedback", knowsSamples: true },
};
const port = { dtype: "float32", shape: [2, 4], name: "x", of: "x", role: "feature" } as const;
const stages = { ends: [{ end, ports: [port] }], rules: { batch: 2, samples: 3 } };
const name = memoryName(end, 0);

function filled(keys: readonly number[], capacity = 3, rowLength = 4): RowMemory {
  const memory = new RowMemory(rowLength, capacity);
  for (const key of keys) memory.use(key).row.fill(key);
  return memory;
}

test("R27: a chain goes on with what has come, and brings what it has used since", () => {
  const memories = new LinkMemories();
  expect(memories.begin(chain, stages, new Map([[name, filled([1, 2]).save()]]))).toBeNull();
  const memory = memories.of(end, 0);
  expect([memory.capacity, memory.get(2)?.row[0]]).toEqual([3, 2]);
  expect(memories.take(stages.ends)).toEqual(new Map());
  memory.use(7).row.fill(7);
  const brought = memories.take(stages.ends);
  expect(brought.get(`${name}|keys`)?.data).toEqual(BigInt64Array.of(7n));
  expect(memories.take(stages.ends)).toEqual(new Map());
  // What has not come begins anew.
  expect(memories.begin(chain, stages, new Map())).toBeNull();
  expect(memories.of(end, 0).size).toBe(0);
});

test("what fits no end is named", () => {
  for (const wrong of [filled([1], 3, 5), filled([1, 2, 3, 4], 9)]) {
    const came = new Map([[name, wrong.save()]]);
    expect(new LinkMemories().begin(chain, stages, came)).toBe(name);
  }
});
