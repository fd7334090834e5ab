/** What the windows of a convolution read, one kernel position after the other. */
import { integerList } from "./gradients.ts";
import type { GradientContext } from "./rule.ts";
import type { Convolution } from "./windows.ts";

type Context = GradientContext<unknown>;

/** What the windows read at offset `at` within them, along the listed spatial axes. */
export function shift(
  context: Context,
  image: string,
  at: readonly number[],
  c: Convolution,
  axes: readonly number[] = c.kernel.map((_, axis) => axis),
): string {
  const starts = at.map((offset, i) => offset * (c.dilations[axes[i] as number] as number));
  const steps = axes.map((axis) => c.strides[axis] as number);
  const ends = axes.map(
    (axis, i) =>
      (starts[i] as number) + ((c.output[axis] as number) - 1) * (steps[i] as number) + 1,
  );
  const bounds = [starts, ends, axes.map((axis) => axis + 2), steps];
  return context.emit("Slice", [image, ...bounds.map((list) => integerList(context, list))]);
}

/** Parts one after the other along an axis. */
export const joined = (context: Context, parts: readonly string[], axis: number): string =>
  parts.length === 1 ? (parts[0] as string) : context.emit("Concat", parts, { axis });

/** Every position in the kernel, in row-major order. */
export function kernelPositions(kernel: readonly number[]): readonly (readonly number[])[] {
  let positions: readonly (readonly number[])[] = [[]];
  for (const size of kernel) {
    const along = Array.from({ length: size }, (_, offset) => offset);
    positions = positions.flatMap((position) => along.map((offset) => [...position, offset]));
  }
  return positions;
}
