import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ProtocolError } from "../../base/errors.ts";
import { float32, hollow, int64, type Tensor } from "../../base/tensor.ts";
import {
  decodeCoordinatorFrame,
  decodeWorkerFrame,
  encodeFrame,
  frameBytes,
  joinFrame,
  splitFrame,
} from "./frame.ts";
import { type FeatureMessage, protocolVersions } from "./messages.ts";

const feature: FeatureMessage = {
  type: "feature",
  to: "edge",
  term: 1,
  round: 0,
  step: 3,
  chain: "chain:a",
  stage: 1,
};

/** What a worker says first that is a party. */
const helloOf = (party: object) => ({
  ...{ type: "hello", protocols: protocolVersions, token: "t", instance: "i", name: "shop" },
  ...{ kind: "device", machine: "m", duty: 1, memoryBytes: null, ceilingBytesPerMs: null },
  ...{ samples: 4, inputShape: [2], classes: 2, classNames: null, testSamples: 0, party },
  ...{ engine: "none", address: null, dials: false },
});

const tensors = new Map<string, Tensor>([
  ["feature.0", float32([2, 3], [1, -2, 3.5, 0, 1e-30, 6])],
  ["odd", float32([3], [7, 8, 9])],
  ["labels", int64([2], [4, 9])],
  ["empty", float32([0], [])],
]);

describe("frames (W2)", () => {
  it("carry a message and its tensors unchanged, through memory and through bytes", () => {
    const frame = encodeFrame(feature, tensors);
    const bytes = joinFrame(frame);
    expect(bytes.length).toBe(frameBytes(frame));
    for (const received of [frame, splitFrame(bytes)]) {
      const decoded = decodeWorkerFrame(received);
      expect(decoded.message).toEqual(feature);
      expect([...decoded.tensors]).toEqual([...tensors]);
    }
  });

  it("view received tensors instead of copying them", () => {
    const bytes = joinFrame(encodeFrame(feature, tensors));
    const labels = decodeWorkerFrame(splitFrame(bytes)).tensors.get("labels");
    expect(labels?.data?.buffer).toBe(bytes.buffer);
  });

  it("carry tensors without values, which count their bytes and cannot leave the process", () => {
    const type = { dtype: "float32", shape: [1000] } as const;
    const frame = encodeFrame(feature, new Map([["feature.0", hollow(type)]]));
    expect(frameBytes(frame)).toBeGreaterThan(4000);
    expect(decodeWorkerFrame(frame).tensors.get("feature.0")).toEqual(hollow(type));
    expect(() => joinFrame(frame)).toThrow(ProtocolError);
  });

  it("refuse a message that belongs to the other side", () => {
    const frame = encodeFrame({ type: "probe", blocks: null, repeats: 3 });
    expect(decodeCoordinatorFrame(frame).message.type).toBe("probe");
    expect(() => decodeWorkerFrame(frame)).toThrow(/"probe"/);
  });

  it("name the field of a message that is wrong", () => {
    const bad = { ...feature, step: -1 };
    expect(() => decodeWorkerFrame(encodeFrame(bad))).toThrow(/feature.*message\.step/);
    const extra = { ...feature, path: "/etc" } as FeatureMessage;
    expect(() => decodeWorkerFrame(encodeFrame(extra))).toThrow(ProtocolError);
  });

  it("name what is wrong with what a party says that it has", () => {
    const party = { columns: [0, 2], hasLabels: true, keys: "0123456789abcdef" };
    const decode = (change: object) => () =>
      decodeWorkerFrame(encodeFrame(helloOf({ ...party, ...change }) as never));
    expect(decode({})().message).toMatchObject({ party });
    expect(decode({ columns: [] })).toThrow(/hello.*party\.columns/);
    expect(decode({ columns: [-1] })).toThrow(/hello.*party\.columns\.0/);
    expect(decode({ columns: Array(5000).fill(0) })).toThrow(/hello.*party\.columns/);
    expect(decode({ keys: "0123456789ABCDEF" })).toThrow(/hello.*party\.keys/);
    expect(decode({ hasLabels: 1 })).toThrow(/hello.*party\.hasLabels/);
    expect(decode({ names: [] })).toThrow(ProtocolError);
  });

  it("refuse offsets that do not fit, tensors that are cut short, and bytes left over", () => {
    const bytes = joinFrame(encodeFrame(feature, tensors));
    expect(() => decodeWorkerFrame(splitFrame(bytes.subarray(0, bytes.length - 8)))).toThrow(
      ProtocolError,
    );
    const longer = new Uint8Array(bytes.length + 8);
    longer.set(bytes);
    expect(() => decodeWorkerFrame(splitFrame(longer))).toThrow(/follow the last tensor/);
  });

  it("refuse a tensor larger than the body, also beyond 32 bits", () => {
    for (const size of [8, 2 ** 31, 2 ** 32, 2 ** 40]) {
      const entry = { name: "x", dtype: "uint8", shape: [size], begin: 0, end: size };
      const header = JSON.stringify({ message: feature, tensors: [entry] });
      const json = new TextEncoder().encode(header);
      const bytes = new Uint8Array(Math.ceil((4 + json.length) / 8) * 8);
      new DataView(bytes.buffer).setUint32(0, json.length, true);
      bytes.set(json, 4);
      expect(() => decodeWorkerFrame(splitFrame(bytes)), String(size)).toThrow(ProtocolError);
    }
  });

  it("cut a reason in words that is longer than the receiver takes", () => {
    const frame = encodeFrame({ type: "failed", text: "x".repeat(10_000) });
    const { message } = decodeWorkerFrame(frame);
    expect(message.type === "failed" ? message.text : "").toMatch(/^x{4095}…$/);
  });

  it("answer any damaged bytes with a ProtocolError or a valid message, never a crash", () => {
    const bytes = joinFrame(encodeFrame(feature, tensors));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.integer({ min: 0, max: 255 })), {
          minLength: 1,
          maxLength: 8,
        }),
        fc.nat(bytes.length),
        (changes, length) => {
          const damaged = bytes.slice(0, Math.max(1, length));
          for (const [at, value] of changes) if (at < damaged.length) damaged[at] = value;
          try {
            decodeWorkerFrame(splitFrame(damaged));
          } catch (error) {
            expect(error).toBeInstanceOf(ProtocolError);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});
