/**
 * Geometry of sliding windows, shared by convolution and pooling: sizes of
 * outputs, padding modes, and which input element a window position reads.
 * One or two spatial axes; one is treated as two of which the first has size 1.
 */
import { ModelError } from "../../base/errors.ts";
import type { Attributes } from "../graph.ts";

/** Attributes that all windowed operators share, as ONNX names them. */
export interface WindowAttributes {
  readonly kernel_shape: readonly number[] | null;
  readonly strides: readonly number[] | null;
  readonly pads: readonly number[] | null;
  readonly dilations: readonly number[] | null;
  readonly auto_pad: "NOTSET" | "VALID" | "SAME_UPPER" | "SAME_LOWER";
}

/** A window with all its sizes settled; one entry per spatial axis. */
export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly padsBegin: readonly number[];
  readonly padsEnd: readonly number[];
  readonly input: readonly number[];
  readonly output: readonly number[];
}

/** A convolution with everything settled: sizes, and channels in and out per group. */
export interface Convolution extends Window {
  readonly batch: number;
  readonly group: number;
  readonly channelsIn: number;
  readonly channelsOut: number;
}

/** How far a window reaches along an axis. */
export const reachOf = ({ kernel, dilations }: Window, axis: number): number =>
  ((kernel[axis] as number) - 1) * (dilations[axis] as number) + 1;

/** Attributes of a convolution's window for emitted nodes; padding is always written out. */
export const windowAttributes = (c: Convolution): Attributes => ({
  kernel_shape: c.kernel,
  strides: c.strides,
  dilations: c.dilations,
  pads: padsOf(c),
  group: c.group,
});

/** One value per axis, all of them at least `min`, or the default. */
export function perAxis(
  name: string,
  values: readonly number[] | null,
  count: number,
  fallback: number,
  min: number,
): readonly number[] {
  if (values === null) return new Array<number>(count).fill(fallback);
  if (values.length === count && values.every((value) => value >= min)) return values;
  throw new ModelError(
    `attribute ${name}: got [${values.join(",")}]; allowed: ${count} integers of at least ${min}`,
  );
}

/**
 * Settles a window over an input. `ceil` rounds output sizes up. Where that makes a window
 * start beyond the input, PyTorch drops it while onnxruntime contradicts itself: refused.
 * @throws ModelError when a list has a wrong length or the window does not fit.
 */
export function windowOver(
  input: readonly number[],
  kernelOfWeight: readonly number[] | null,
  attributes: WindowAttributes,
  ceil = false,
): Window {
  const axes = input.length;
  if (axes < 1 || axes > 2) {
    throw new ModelError(`${axes} spatial dimensions; allowed: 1 or 2`);
  }
  const given = attributes.kernel_shape ?? kernelOfWeight;
  if (given === null) throw new ModelError("attribute kernel_shape is missing");
  const kernel = perAxis("kernel_shape", given, axes, 1, 1);
  if (kernelOfWeight?.some((size, axis) => size !== kernel[axis])) {
    const sizes = `[${kernel.join(",")}] but the weight has [${kernelOfWeight.join(",")}]`;
    throw new ModelError(`attribute kernel_shape: got ${sizes}`);
  }
  const strides = perAxis("strides", attributes.strides, axes, 1, 1);
  const dilations = perAxis("dilations", attributes.dilations, axes, 1, 1);
  const reach = kernel.map((size, axis) => (size - 1) * (dilations[axis] as number) + 1);
  const [padsBegin, padsEnd] = pads(attributes, input, strides, reach);
  const output = input.map((size, axis) => {
    const [stride, begin] = [strides[axis] as number, padsBegin[axis] as number];
    const room = size + begin + (padsEnd[axis] as number) - (reach[axis] as number);
    const count = (ceil ? Math.ceil(room / stride) : Math.floor(room / stride)) + 1;
    if (count < 1) {
      throw new ModelError(
        `a window of ${reach[axis]} does not fit into size ${size} with padding`,
      );
    }
    if (ceil && (count - 1) * stride >= size + begin) {
      throw new ModelError(
        `ceil_mode: a window would start in the padding at the end of size ${size}; ` +
          "engines differ on whether it counts. Allowed: windows that start before",
      );
    }
    return count;
  });
  return { kernel, strides, dilations, padsBegin, padsEnd, input, output };
}

/** Padding at the beginning and at the end of each axis. */
function pads(
  attributes: WindowAttributes,
  input: readonly number[],
  strides: readonly number[],
  reach: readonly number[],
): [number[], number[]] {
  const axes = input.length;
  if (attributes.auto_pad === "NOTSET") {
    const all = perAxis("pads", attributes.pads, 2 * axes, 0, 0);
    return [all.slice(0, axes), all.slice(axes)];
  }
  if (attributes.pads?.some((pad) => pad !== 0)) {
    throw new ModelError(`attributes pads and auto_pad=${attributes.auto_pad} exclude each other`);
  }
  if (attributes.auto_pad === "VALID") {
    return [new Array<number>(axes).fill(0), new Array<number>(axes).fill(0)];
  }
  const total = input.map((size, axis) => {
    const stride = strides[axis] as number;
    return Math.max(0, (Math.ceil(size / stride) - 1) * stride + (reach[axis] as number) - size);
  });
  const smaller = total.map((pad) => Math.floor(pad / 2));
  const larger = total.map((pad) => Math.ceil(pad / 2));
  return attributes.auto_pad === "SAME_UPPER" ? [smaller, larger] : [larger, smaller];
}

/** Padding of a window as the attribute `pads` holds it. */
export const padsOf = (window: Window): number[] => [...window.padsBegin, ...window.padsEnd];

/** True when no input element belongs to two windows. */
export const isDisjoint = (window: Window): boolean =>
  window.kernel.every(
    (size, axis) => (window.strides[axis] as number) >= size && window.dilations[axis] === 1,
  );

/** True when no window reads padding. */
export const isInside = (window: Window): boolean =>
  window.kernel.every((size, axis) => {
    const reach = (size - 1) * (window.dilations[axis] as number) + 1;
    const last = ((window.output[axis] as number) - 1) * (window.strides[axis] as number);
    return window.padsBegin[axis] === 0 && last + reach <= (window.input[axis] as number);
  });

/** True when every input element belongs to exactly one window. */
export const isTiling = (window: Window): boolean =>
  isDisjoint(window) &&
  isInside(window) &&
  window.kernel.every(
    (size, axis) =>
      window.strides[axis] === size &&
      size * (window.output[axis] as number) === window.input[axis],
  );

/** A window over exactly two axes, for kernels: an absent first axis has size 1. */
export function flatWindow(window: Window): Window {
  if (window.input.length === 2) return window;
  const lift = (values: readonly number[], value: number): number[] => [value, ...values];
  return {
    kernel: lift(window.kernel, 1),
    strides: lift(window.strides, 1),
    dilations: lift(window.dilations, 1),
    padsBegin: lift(window.padsBegin, 0),
    padsEnd: lift(window.padsEnd, 0),
    input: lift(window.input, 1),
    output: lift(window.output, 1),
  };
}

/**
 * Calls `visit(output, input)` with flat positions in the two planes, for every output
 * whose window reads a real element (not padding) at kernel position (i, j).
 */
export function eachTap(
  window: Window,
  i: number,
  j: number,
  visit: (output: number, input: number) => void,
): void {
  const [height, width] = window.input as [number, number];
  const [rows, columns] = window.output as [number, number];
  const [strideY, strideX] = window.strides as [number, number];
  const offsetY = i * (window.dilations[0] as number) - (window.padsBegin[0] as number);
  const offsetX = j * (window.dilations[1] as number) - (window.padsBegin[1] as number);
  for (let row = 0; row < rows; row++) {
    const y = row * strideY + offsetY;
    if (y < 0 || y >= height) continue;
    for (let column = 0; column < columns; column++) {
      const x = column * strideX + offsetX;
      if (x >= 0 && x < width) visit(row * columns + column, y * width + x);
    }
  }
}
