/**
 * Where the nodes of a topology stand: clouds on top, edge servers under them,
 * each over the devices that it helps. Devices wrap into rows; from each hub one
 * line runs to a bus above every row, so that lines never cross a card. Text
 * keeps its size, so the drawing is made for a width instead of being scaled to it.
 */
import type { SceneNode } from "./scene.ts";

type Placeable = Pick<SceneNode, "id" | "kind" | "parent" | "allotted"> & {
  readonly strips: readonly unknown[];
};

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** The line from a node up to its parent, as an SVG path. */
export interface Wire {
  readonly from: string;
  readonly path: string;
}

export interface Layout {
  readonly width: number;
  readonly height: number;
  /** Small cards: the rates stand on the card instead of on the line. */
  readonly isCompact: boolean;
  readonly boxes: ReadonlyMap<string, Box>;
  readonly wires: readonly Wire[];
}

/** More devices than this get small cards. */
const fullSizeMax = 10;
/** Strips that a hub's card shows before it says how many more there are. */
export const stripsMax = 4;

const sizes = {
  full: { min: 152, max: 236, height: 86, gap: 14, drop: 64, rowGap: 4 },
  compact: { min: 98, max: 150, height: 50, gap: 8, drop: 14, rowGap: 0 },
} as const;
const hubWidth = 300;
/** Height of a hub's card without strips, and of each strip. */
const hubHead = 40;
const hubStrip = 20;
/** Room beside the rows for the line that leads to the lower ones. */
const rail = 14;
const margin = 2;
/** Below a group's devices. */
const groupGap = 12;
const bend = 7;

/** Whether a hub passes on what it has computed: its card then says how fast. */
export const passesOn = ({ kind, allotted }: Pick<SceneNode, "kind" | "allotted">): boolean =>
  kind !== "device" && allotted !== null;

/** Height of a hub's card: its strips stand below each other, and below them what its link carries. */
const hubHeight = (hub: Placeable): number => {
  const strips = Math.max(1, Math.min(hub.strips.length, stripsMax + 1));
  return hubHead + hubStrip * (strips + (passesOn(hub) ? 1 : 0)) + 6;
};

export function layOut(nodes: readonly Placeable[], width: number): Layout {
  const devices = nodes.filter((node) => node.kind === "device");
  const isCompact = devices.length > fullSizeMax;
  const size = isCompact ? sizes.compact : sizes.full;
  const boxes = new Map<string, Box>();
  const wires: Wire[] = [];
  const hubs = nodes.filter((node) => node.kind !== "device");
  const isOver = (hub: Placeable): boolean =>
    devices.some((device) => device.parent === hub.id) || hub.kind === "edge";
  const heads = inChains(hubs.filter(isOver), devices);
  const top = placeRow(
    hubs.filter((hub) => !isOver(hub)),
    { x: 0, y: margin, width },
    boxes,
  );
  const isChained = heads.some(({ parent }) => heads.some(({ id }) => id === parent));
  const isBeside = !isChained && heads.length * (2 * size.min + 4 * size.gap) <= width;
  const slot = isBeside && heads.length > 0 ? width / heads.length : width;
  let bottom = top;
  heads.forEach((head, i) => {
    const area = isBeside
      ? { x: i * slot, y: top, width: slot - (i < heads.length - 1 ? size.gap : 0) }
      : { x: 0, y: bottom, width };
    const own = devices.filter((device) => device.parent === head.id);
    bottom = Math.max(bottom, placeGroup(head, own, area, isCompact, boxes, wires));
  });
  const loose = devices.filter((device) => !heads.some((head) => head.id === device.parent));
  if (loose.length > 0) {
    bottom = placeGroup(null, loose, { x: 0, y: bottom, width }, isCompact, boxes, wires);
  }
  for (const hub of heads) wires.push(...wireUp(hub, boxes));
  return { width, height: bottom + margin, isCompact, boxes, wires };
}

/**
 * Hubs that pass on to one another stand above each other, so that what goes up a chain goes up the drawing;
 * above them all those that have no part in one.
 */
function inChains(heads: readonly Placeable[], devices: readonly Placeable[]): Placeable[] {
  const above = (hub: Placeable, seen = 0): number => {
    const next = heads.find(({ id }) => id === hub.parent);
    return next === undefined || seen > heads.length ? 0 : 1 + above(next, seen + 1);
  };
  const isPassedTo = (hub: Placeable): boolean =>
    [...heads, ...devices].some(({ parent }) => parent === hub.id);
  const rank = (hub: Placeable): number => above(hub) + (isPassedTo(hub) ? 0.5 : 0);
  return [...heads].sort((a, b) => rank(a) - rank(b));
}

interface Area {
  readonly x: number;
  readonly y: number;
  readonly width: number;
}

/** Hubs beside each other; the answer is where the next row may begin. */
function placeRow(hubs: readonly Placeable[], area: Area, boxes: Map<string, Box>): number {
  if (hubs.length === 0) return area.y;
  const slot = area.width / hubs.length;
  const width = Math.min(hubWidth, slot - 8);
  const height = Math.max(...hubs.map(hubHeight));
  hubs.forEach((hub, i) => {
    const x = area.x + i * slot + (slot - width) / 2;
    boxes.set(hub.id, { x, y: area.y, width, height: hubHeight(hub) });
  });
  return area.y + height + 36;
}

/** A hub over rows of its devices; the answer is the lower end. */
function placeGroup(
  head: Placeable | null,
  devices: readonly Placeable[],
  area: Area,
  isCompact: boolean,
  boxes: Map<string, Box>,
  wires: Wire[],
): number {
  const size = isCompact ? sizes.compact : sizes.full;
  const drop = head === null ? 0 : size.drop;
  const fits = (room: number): number =>
    Math.max(1, Math.floor((room + size.gap) / (size.min + size.gap)));
  const isOneRow = devices.length <= fits(area.width);
  const room = area.width - (isOneRow ? 2 * margin : rail + margin);
  const rows = Math.ceil(devices.length / fits(room));
  const columns = Math.ceil(devices.length / Math.max(1, rows));
  const cardWidth = Math.min(size.max, (room - (columns - 1) * size.gap) / columns);
  const rowWidth = columns * cardWidth + (columns - 1) * size.gap;
  const left = area.x + (isOneRow ? margin : rail) + Math.max(0, (room - rowWidth) / 2);

  let y = area.y;
  let hub: Box | null = null;
  if (head !== null) {
    const width = Math.min(hubWidth, area.width - 2 * margin);
    const x = Math.max(area.x + margin, left + rowWidth / 2 - width / 2);
    hub = { x, y, width, height: hubHeight(head) };
    boxes.set(head.id, hub);
    y += hub.height + (devices.length > 0 ? 16 : 12);
  }
  devices.forEach((device, i) => {
    const row = Math.floor(i / columns);
    const busY = y + row * (drop + size.height + size.rowGap + size.gap);
    const x = left + (i % columns) * (cardWidth + size.gap);
    const box = { x, y: busY + drop, width: cardWidth, height: size.height };
    boxes.set(device.id, box);
    if (hub === null) return;
    const centre = box.x + box.width / 2;
    const start = { x: hub.x + hub.width / 2, y: hub.y + hub.height };
    const side = left - rail + 4;
    const firstBus = y;
    const corners =
      row === 0
        ? [start, { x: start.x, y: busY }, { x: centre, y: busY }]
        : [
            start,
            { x: start.x, y: firstBus },
            { x: side, y: firstBus },
            { x: side, y: busY },
            { x: centre, y: busY },
          ];
    wires.push({ from: device.id, path: rounded([...corners, { x: centre, y: box.y }]) });
  });
  if (devices.length === 0) return y;
  return y + groupGap + rows * (drop + size.height + size.rowGap) + (rows - 1) * size.gap;
}

function wireUp(hub: Placeable, boxes: ReadonlyMap<string, Box>): Wire[] {
  const child = boxes.get(hub.id);
  const parent = boxes.get(hub.parent ?? "");
  if (child === undefined || parent === undefined || parent.y >= child.y) return [];
  const start = { x: parent.x + parent.width / 2, y: parent.y + parent.height };
  const end = { x: child.x + child.width / 2, y: child.y };
  const middle = (start.y + end.y) / 2;
  const corners = [start, { x: start.x, y: middle }, { x: end.x, y: middle }, end];
  return [{ from: hub.id, path: rounded(corners) }];
}

interface Point {
  readonly x: number;
  readonly y: number;
}

/** A path through corners of right angles, each a little rounded. */
function rounded(corners: readonly Point[]): string {
  const at = ({ x, y }: Point): string => `${x.toFixed(1)} ${y.toFixed(1)}`;
  const points = corners.filter((point, i) => {
    const before = corners[i - 1];
    return before === undefined || Math.hypot(point.x - before.x, point.y - before.y) > 0.5;
  });
  let path = "";
  points.forEach((point, i) => {
    const before = points[i - 1];
    const after = points[i + 1];
    if (before === undefined) path += `M${at(point)}`;
    else if (after === undefined) path += `L${at(point)}`;
    else path += `L${at(toward(point, before))}Q${at(point)} ${at(toward(point, after))}`;
  });
  return path;
}

function toward(from: Point, to: Point): Point {
  const length = Math.hypot(to.x - from.x, to.y - from.y);
  const share = Math.min(bend, length / 2) / length;
  return { x: from.x + (to.x - from.x) * share, y: from.y + (to.y - from.y) * share };
}
