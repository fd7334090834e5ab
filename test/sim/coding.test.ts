import { expect, test } from "vitest";
import { chainId, copyId, nodeId } from "../../src/base/ids.ts";
import type { Program, ProgramKind } from "../../src/compile/program.ts";
import { decodeMs, encodeMs } from "../../src/plan/coding.ts";
import type { Plan } from "../../src/plan/plan.ts";
import { codingMsOf } from "../../src/sim/coding.ts";
import { segmentCost } from "../fleets.ts";

const segments = [0, 1, 2].map((i) => segmentCost(i, 10));
const server = nodeId("edge");

/** Devices whose chains go on to one server after so many segments, with codecs of their own. */
const planOf = (devices: readonly { cut: number; codec: "affine8" | "float32" }[]): Plan =>
  ({
    copies: devices.flatMap(({ cut }, i) => [
      { id: copyId(`copy:${i}`), node: nodeId(`${i}`), from: 0, to: cut },
      { id: copyId(`copy:edge:${i}`), node: server, from: cut, to: 3 },
    ]),
    chains: devices.map((_, i) => ({
      id: chainId(`chain:${i}`),
      stages: [{ copy: copyId(`copy:${i}`) }, { copy: copyId(`copy:edge:${i}`) }],
    })),
    links: devices.map(({ codec }, i) => ({
      ...{ from: nodeId(`${i}`), to: server, chain: chainId(`chain:${i}`) },
      ...{ codecUp: codec, codecDown: codec },
    })),
  }) as unknown as Plan;

const program = (kind: ProgramKind, from: number, to: number) => ({ kind, from, to }) as Program;

test("a server codes with each of its chains' codecs, and a device with its own", () => {
  const plan = planOf([
    { cut: 1, codec: "float32" },
    { cut: 1, codec: "affine8" },
    { cut: 2, codec: "affine8" },
  ]);
  const [speed, bytes] = [0.001, 4 * 10];
  const at = (node: string) => ({ node: nodeId(node), speed, segments });
  const coded = decodeMs("affine8", bytes, speed) + encodeMs("affine8", bytes, speed);
  expect(coded).toBeGreaterThan(0);
  // Two chains are cut here, and one of them is coded.
  expect(codingMsOf(plan, at("edge"), program("step", 1, 3))).toBeCloseTo(coded / 2, 9);
  expect(codingMsOf(plan, at("edge"), program("step", 2, 3))).toBeCloseTo(coded, 9);
  expect(codingMsOf(plan, at("0"), program("forward", 0, 1))).toBe(0);
  expect(codingMsOf(plan, at("2"), program("forward", 0, 2))).toBeGreaterThan(0);
  expect(codingMsOf(plan, at("2"), program("forward", 0, 3))).toBe(0);
});
