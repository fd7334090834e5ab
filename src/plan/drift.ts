/** Whether machines and ways have changed since a plan was made: planning again is worth its time only then. */
import type { Fleet } from "./plan.ts";
import { segmentsMs } from "./program-time.ts";

/** Less is what measurements are off by. */
const driftShare = 0.1;

/**
 * Whether what is known of a fleet differs by more than a tenth anywhere from what it was.
 * @param hasLines whether what nodes' own lines carry counts
 */
export function hasDrifted(then: Fleet, now: Fleet, hasLines = false): boolean {
  const before = new Map(then.nodes.map((node) => [node.id, node]));
  const isOther = now.nodes.some(({ id, profile, lineBytesPerMs: line }) => {
    const old = before.get(id);
    if (old === undefined) return true;
    if (isFar(segmentsMs(old.profile.segments), segmentsMs(profile.segments))) return true;
    const was = old.lineBytesPerMs;
    const isOtherLine =
      isFar(was?.up ?? Infinity, line?.up ?? Infinity) ||
      isFar(was?.down ?? Infinity, line?.down ?? Infinity);
    return hasLines && isOtherLine;
  });
  if (isOther || before.size !== now.nodes.length) return true;
  const waysOf = ({ links }: Fleet): Map<string, number> =>
    new Map(
      links.flatMap(({ from, to, thereBytesPerMs, backBytesPerMs }) => [
        [`${from} ${to}`, thereBytesPerMs ?? Infinity],
        [`${to} ${from}`, backBytesPerMs ?? Infinity],
      ]),
    );
  const [ways, known] = [waysOf(now), waysOf(then)];
  return [...new Set([...ways.keys(), ...known.keys()])].some((way) =>
    isFar(known.get(way) ?? Infinity, ways.get(way) ?? Infinity),
  );
}

const isFar = (a: number, b: number): boolean =>
  a !== b && Math.abs(Math.log(a / b)) > Math.log(1 + driftShare);
