/** One node of the topology: a card with its name, its segments as blocks, and its link. */
import { formatShare } from "edgeloom";
import type { NodeId } from "../run-model.ts";
import { type Box, passesOn, stripsMax } from "../topology/layout.ts";
import type { SceneNode, Strip } from "../topology/scene.ts";
import { counted, mbitDigits, segmentsWords, unknown } from "../words.ts";
import { memo } from "./memo.ts";

interface Props {
  readonly node: SceneNode;
  readonly box: Box;
  readonly segments: number;
  readonly isCompact: boolean;
  /** Achieved rates in Mbit/s, as digits. */
  readonly up: string;
  readonly down: string;
  /** Achieved over allotted, 0 to 1. */
  readonly upShare: number;
  readonly downShare: number;
  /** The node that it sends features to; empty for none. */
  readonly next: string;
  /** Whether what it sends there goes without the coordinator. */
  readonly isStraight: boolean;
  readonly label: string;
  readonly isSelected: boolean;
  readonly isTabStop: boolean;
  readonly onChoose: (id: NodeId) => void;
}

export const NodeCard = memo((props: Props) => {
  const { node, box, isCompact, label, isSelected, isTabStop, onChoose } = props;
  const size = isCompact && node.kind === "device" ? " small" : "";
  const classes = `node ${node.kind}${size}${node.left === null ? "" : " left"}`;
  const Body = node.kind !== "device" ? HubBody : isCompact ? SmallBody : DeviceBody;
  return (
    // biome-ignore lint/a11y/useSemanticElements: SVG has no button
    <g
      class={classes}
      transform={`translate(${box.x.toFixed(1)} ${box.y.toFixed(1)})`}
      role="button"
      tabindex={isTabStop ? 0 : -1}
      aria-pressed={isSelected}
      aria-label={label}
      data-testid={`node-${node.name}`}
      data-left={String(node.left !== null)}
      onClick={() => onChoose(node.id)}
      onKeyDown={(event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        onChoose(node.id);
      }}
    >
      <rect class="card" width={box.width} height={box.height} rx="6" />
      <Body {...props} />
    </g>
  );
});

interface HeadProps extends Props {
  /** Baseline of the text. */
  readonly y: number;
  /** Room at both sides. */
  readonly inset: number;
}

/** The name, and on the right the duty: in a word where there is room for it. */
function Head({ node, box, y, inset, isCompact }: HeadProps) {
  const isSmall = isCompact && node.kind === "device";
  const start = inset + (isSmall ? 0 : 17);
  const letter = isSmall ? 6.7 : 7.2;
  const kind = node.kind === "device" ? "" : `${node.kind} server`;
  const room = box.width - inset - start - 4;
  const share = formatShare(node.duty);
  const isRoomy = room > letter * (node.name.length + share.length + 5);
  const duty = isRoomy ? `duty ${share}` : share;
  const right = node.left !== null ? "left" : node.duty === 1 ? kind : duty;
  return (
    <>
      {!isSmall && (
        <path class="glyph" d={glyphs[node.kind]} transform={`translate(${inset} ${y - 10})`} />
      )}
      <text class="name" x={start} y={y}>
        {fittedName(node.name, (room - 5.9 * right.length) / letter)}
      </text>
      <text class="duty" x={box.width - inset} y={y} text-anchor="end">
        {right}
      </text>
    </>
  );
}

function DeviceBody(props: Props) {
  const { node, box, segments } = props;
  const inset = 10;
  const strip = node.strips[0];
  const width = box.width - 2 * inset;
  return (
    <>
      <Head {...props} y={21} inset={inset} />
      <Blocks x={inset} y={31} width={width} height={12} segments={segments} strip={strip} />
      <text x={inset} y={60}>
        {node.left === null ? holds(strip, segments) : ""}
      </text>
      <text class="minor" x={inset} y={76}>
        {node.left === null ? counted(node.samples, "sample") : fitted(node.left, width / 6.3)}
      </text>
      {node.left === null && node.allotted !== null && <Link {...props} />}
    </>
  );
}

/** What the link achieved of what it was allotted, on the line above the card. */
function Link(props: Props) {
  const { node, box, up, down, upShare, downShare } = props;
  const centre = box.width / 2;
  const isUnlimited = node.allotted === Number.POSITIVE_INFINITY;
  const half = 70;
  return (
    <g class="link" transform={`translate(${centre} -50)`}>
      <rect class="chip" x={-half} width={2 * half} height="42" rx="5" />
      <text x={-half / 2} y="14" text-anchor="middle">{`↑ ${up}`}</text>
      <text x={half / 2} y="14" text-anchor="middle">{`↓ ${down}`}</text>
      {!isUnlimited && <Meter x={-half + 8} width={half - 14} share={upShare} />}
      {!isUnlimited && <Meter x={6} width={half - 14} share={downShare} />}
      <text class="minor" y="36" text-anchor="middle">
        {ofWords(props)}
      </text>
    </g>
  );
}

/** What the rates of a link are to be compared with, and which way it goes. */
function ofWords({ node, isStraight }: Pick<Props, "node" | "isStraight">): string {
  const isUnlimited = node.allotted === Number.POSITIVE_INFINITY;
  if (isUnlimited) return isStraight ? "Mbit/s, straight" : "Mbit/s, unlimited";
  const of = `of ${mbitDigits(node.allotted ?? 0)} Mbit/s`;
  return isStraight ? `${of}, straight` : of;
}

const Meter = ({ x, width, share }: { x: number; width: number; share: number }) => (
  <>
    <rect class="track" x={x} y="19" width={width} height="4" rx="2" />
    <rect class="fill" x={x} y="19" width={width * Math.min(1, share)} height="4" rx="2" />
  </>
);

function SmallBody(props: Props) {
  const { node, box, segments, up, upShare } = props;
  const width = box.width - 14;
  const isUnlimited = node.allotted === Number.POSITIVE_INFINITY;
  const of = isUnlimited ? "" : ` of ${mbitDigits(node.allotted ?? 0)}`;
  const text = node.left ?? (node.allotted === null ? "" : `↑ ${up}${of}`);
  return (
    <>
      <Head {...props} y={16} inset={7} />
      <Blocks x={7} y={22} width={width} height={8} segments={segments} strip={node.strips[0]} />
      <text class="minor" x={7} y={44}>
        {fitted(text, width / 5.8)}
      </text>
      {node.left === null && !isUnlimited && node.allotted !== null && (
        <rect
          class="fill"
          x={7}
          y={box.height - 3}
          width={width * Math.min(1, upShare)}
          height="2"
        />
      )}
    </>
  );
}

/** Edge servers and clouds hold a strip for each different part of the model that they train. */
function HubBody(props: Props) {
  const { node, box, segments, up, down, next } = props;
  const inset = 12;
  const width = Math.min(132, box.width * 0.42);
  const hidden = node.strips.length - stripsMax;
  return (
    <>
      <Head {...props} y={23} inset={inset} />
      {node.strips.length === 0 && (
        <text class="minor" x={inset} y={48}>
          {node.left ?? "no segments yet"}
        </text>
      )}
      {node.strips.slice(0, stripsMax).map((strip, i) => (
        <g key={`${strip.from}-${strip.to}`} transform={`translate(0 ${36 + 20 * i})`}>
          <Blocks x={inset} y={2} width={width} height={11} segments={segments} strip={strip} />
          <text x={inset + width + 10} y={12}>
            {fitted(whose(strip, segments), (box.width - width - 2 * inset - 10) / 6)}
          </text>
        </g>
      ))}
      {hidden > 0 && (
        <text class="minor" x={inset} y={48 + 20 * stripsMax}>
          {`and ${counted(hidden, "other cut")}`}
        </text>
      )}
      {passesOn(node) && node.left === null && (
        <text class="minor" x={inset} y={box.height - 12}>
          {fitted(`to ${next}: ↑ ${up} ↓ ${down} ${ofWords(props)}`, (box.width - 2 * inset) / 5.8)}
        </text>
      )}
    </>
  );
}

interface BlocksProps {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly segments: number;
  readonly strip: Strip | undefined;
}

/** The model as a row of blocks, those held filled. Two paths, however many segments. */
export function Blocks({ x, y, width, height, segments, strip }: BlocksProps) {
  if (segments === 0) return null;
  const gap = segments > 24 ? 1 : 2;
  const block = (width - (segments - 1) * gap) / segments;
  const path = (from: number, to: number): string => {
    let d = "";
    for (let i = from; i < to; i++) {
      d += `M${(x + i * (block + gap)).toFixed(1)} ${y}h${block.toFixed(1)}v${height}h${(-block).toFixed(1)}z`;
    }
    return d;
  };
  const { from, to } = strip ?? { from: 0, to: 0 };
  return (
    <>
      <path class="block" d={path(0, from) + path(to, segments)} />
      <path class="block held" d={path(from, to)} />
    </>
  );
}

const holds = (strip: Strip | undefined, segments: number): string =>
  strip === undefined ? "nothing to train yet" : segmentsWords(strip.from, strip.to, segments);

function whose({ from, to, sources }: Strip, segments: number): string {
  const part = from === 0 && to === segments ? `all ${segments}` : `${from + 1}–${to}`;
  return `${part} for ${sources.length === 1 ? sources[0] : `${sources.length} devices`}`;
}

/** Text cut to a number of characters, so that cards never overflow. */
const fitted = (text: string, characters: number): string =>
  text.length <= characters ? text : `${text.slice(0, Math.max(1, Math.floor(characters) - 1))}…`;

/** Names differ at their ends: what is cut is the middle. */
function fittedName(name: string, characters: number): string {
  if (name.length <= characters) return name;
  const kept = Math.max(2, Math.floor(characters) - 1);
  return `${name.slice(0, Math.ceil(kept / 2))}…${name.slice(-Math.floor(kept / 2))}`;
}

/** Digits of a rate, or a dash. */
export const rateDigits = (rate: number | null): string =>
  rate === null ? unknown : mbitDigits(rate);

/** Outlines in a box of 12: a phone, two servers, a cloud. */
const glyphs = {
  device: "M3 1h6a1 1 0 0 1 1 1v8a1 1 0 0 1-1 1H3a1 1 0 0 1-1-1V2a1 1 0 0 1 1-1zM5 9.2h2",
  edge: "M1.5 1.5h9v4h-9zM1.5 6.5h9v4h-9zM3.2 3.5h1.6M3.2 8.5h1.6",
  cloud: "M3.5 9.5a2.4 2.4 0 0 1 0-4.8 3 3 0 0 1 5.7.6 2.1 2.1 0 0 1-.2 4.2z",
} as const;
