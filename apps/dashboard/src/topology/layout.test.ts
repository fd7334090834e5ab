import { describe, expect, test } from "vitest";
import type { NodeId } from "../run-model.ts";
import { type Box, layOut } from "./layout.ts";

const id = (text: string) => text as NodeId;

function fleet(devices: number, hubs: readonly string[] = ["edge"], cloud: string | null = null) {
  const strips = [1, 2];
  return [
    ...(cloud === null
      ? []
      : [{ id: id(cloud), kind: "cloud" as const, parent: null, strips: [], allotted: null }]),
    ...hubs.map((hub) => ({
      id: id(hub),
      kind: "edge" as const,
      parent: cloud === null ? null : id(cloud),
      strips,
      allotted: null,
    })),
    ...Array.from({ length: devices }, (_, i) => ({
      id: id(`device ${i}`),
      kind: "device" as const,
      parent: hubs.length === 0 ? null : id(hubs[i % hubs.length] ?? ""),
      strips,
      allotted: 1000,
    })),
  ];
}

const overlap = (a: Box, b: Box): boolean =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

describe.each([
  [4, 780],
  [4, 338],
  [10, 780],
  [50, 780],
  [60, 338],
])("%i devices in %i pixels", (devices, width) => {
  const nodes = fleet(devices);
  const layout = layOut(nodes, width);
  const boxes = [...layout.boxes.values()];

  test("every node has a place inside the drawing", () => {
    expect(boxes).toHaveLength(nodes.length);
    for (const { x, y, width: wide, height } of boxes) {
      expect(x).toBeGreaterThanOrEqual(0);
      expect(x + wide).toBeLessThanOrEqual(width);
      expect(y + height).toBeLessThanOrEqual(layout.height);
    }
  });

  test("no two cards overlap", () => {
    const pairs = boxes.flatMap((a, i) => boxes.slice(i + 1).map((b) => [a, b] as const));
    expect(pairs.filter(([a, b]) => overlap(a, b))).toEqual([]);
  });

  test("every device has a line to its edge server, below which it stands", () => {
    expect(layout.wires).toHaveLength(devices);
    const hub = layout.boxes.get("edge");
    for (const wire of layout.wires) {
      expect(layout.boxes.get(wire.from)?.y).toBeGreaterThan((hub?.y ?? 0) + (hub?.height ?? 0));
    }
  });
});

test("many devices get small cards, a few get large ones", () => {
  expect(layOut(fleet(4), 780).isCompact).toBe(false);
  expect(layOut(fleet(50), 780).isCompact).toBe(true);
});

test("several edge servers stand beside each other where there is room, else below", () => {
  const wide = layOut(fleet(8, ["left", "right"]), 900).boxes;
  expect(wide.get("left")?.y).toBe(wide.get("right")?.y);
  const narrow = layOut(fleet(8, ["left", "right"]), 338).boxes;
  expect(narrow.get("right")?.y).toBeGreaterThan(narrow.get("left")?.y ?? 0);
});

test("a cloud stands on top with a line to each edge server", () => {
  const { boxes, wires } = layOut(fleet(4, ["one", "two"], "cloud"), 900);
  expect(boxes.get("cloud")?.y).toBeLessThan(boxes.get("one")?.y ?? 0);
  expect(wires.filter((wire) => wire.from === "one" || wire.from === "two")).toHaveLength(2);
});

test("devices without a server need no lines", () => {
  const { boxes, wires } = layOut(fleet(3, []), 780);
  expect(boxes.size).toBe(3);
  expect(wires).toEqual([]);
});

test("a server that nobody sends to stands above those of a chain, away from their devices", () => {
  const nodes = fleet(1, ["near", "spare"]).map((node) =>
    node.id === id("device 0") ? { ...node, parent: id("near") } : node,
  );
  const { boxes } = layOut(nodes, 338);
  expect(boxes.get("spare")?.y).toBeLessThan(boxes.get("near")?.y ?? 0);
});

test("edge servers that pass on to one another stand in a column, with the device at its foot", () => {
  const nodes = fleet(1, ["near", "spare", "far"]).map((node) =>
    node.id === id("near") ? { ...node, parent: id("far"), allotted: 1000 } : node,
  );
  const { boxes, wires } = layOut(nodes, 900);
  // It has room to say what it passes on.
  expect(boxes.get("near")?.height).toBeGreaterThan(boxes.get("far")?.height ?? 0);
  const below = ["spare", "far", "near", "device 0"].map((name) => boxes.get(name)?.y ?? 0);
  expect(below).toEqual([...below].sort((a, b) => a - b));
  expect(wires.map(({ from }) => from).sort()).toEqual(["device 0", "near"]);
});
