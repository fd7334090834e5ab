/**
 * The loops of the 8-bit affine codec in lanes of 128 bits, by WebAssembly: some three times as fast as
 * in JavaScript, with the same results bit for bit, for it computes in float64 likewise. Values are
 * copied into a window, and codes out of it.
 */
import {
  type Code,
  f32x4,
  f64,
  f64x2,
  i16x8,
  i32,
  i32x4,
  local,
  narrow,
  v128,
  type WasmFunction,
  wasmModule,
  whileBelow,
} from "./wasm.ts";

/** Values that the window has room for. */
export const windowLength = 0x4_0000;
/** Where the window's parts are in memory: extremes, values, codes. */
const valuesAt = 64;
const codesAt = valuesAt + 4 * windowLength;
const pages = Math.ceil((codesAt + windowLength) / 0x1_0000);

/** What computes in lanes, over a window of its own. Indices count values of the window. */
export interface Lanes {
  readonly values: Float32Array;
  readonly codes: Uint8Array;
  /** Bits of the four largest keys, then of the four smallest, each of every fourth value. */
  readonly extremes: Int32Array;
  /** Finds the extremes of [from, to), whose length is a multiple of 4. */
  measure(from: number, to: number): void;
  /** Codes of [from, to), whose length is a multiple of 16: the nearest. */
  nearest(from: number, to: number, minimum: number, perStep: number): void;
  /** The same, drawn with the hashes of a seed and counters that begin at `counter`. */
  draw(
    from: number,
    to: number,
    minimum: number,
    perPart: number,
    seed: number,
    counter: number,
  ): void;
  /** Values of the codes [from, to), whose number is a multiple of 16. */
  decode(from: number, to: number, step: number, minimum: number): void;
}

/** Smallest and largest keys (`orderKey`) of what lies between two addresses. */
const measure: WasmFunction = (() => {
  const [from, to, low, high, key] = [0, 1, 2, 3, 4];
  return {
    name: "measure",
    parameters: ["i32", "i32"],
    locals: ["v128", "v128", "v128"],
    body: [
      ...[...i32.const(0x7fff_ffff), ...i32x4.splat, ...local.set(low)],
      ...[...i32.const(-0x8000_0000), ...i32x4.splat, ...local.set(high)],
      ...whileBelow(from, to, 16, [
        ...[...local.get(from), ...v128.load(0), ...local.tee(key)],
        ...[...local.get(key), ...i32.const(31), ...i32x4.shrS, ...i32.const(1), ...i32x4.shrU],
        ...[...v128.xor, ...local.set(key)],
        ...[...local.get(low), ...local.get(key), ...i32x4.minS, ...local.set(low)],
        ...[...local.get(high), ...local.get(key), ...i32x4.maxS, ...local.set(high)],
      ]),
      ...[...i32.const(0), ...local.get(high), ...v128.store(0)],
      ...[...i32.const(0), ...local.get(low), ...v128.store(16)],
    ],
  };
})();

const lowHalves = [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23];
const highHalf = [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15];

/** Locals of the functions that make codes, after five or seven parameters. */
const makerLocals = (first: number) => ({
  minimum: first,
  factor: first + 1,
  half: first + 2,
  four: first + 3,
  seed: first + 4,
  counter: first + 5,
  hash: first + 6,
});
type MakerLocals = ReturnType<typeof makerLocals>;

/** Places on the grid, as integers, of the four values at an offset: `(value - minimum) * factor + 0.5` cut off. */
const places = (
  from: number,
  offset: number,
  { minimum, factor, half, four }: MakerLocals,
): Code => {
  const pair: Code = [
    ...f64x2.promoteLowF32x4,
    ...[...local.get(minimum), ...f64x2.sub, ...local.get(factor), ...f64x2.mul],
    ...[...local.get(half), ...f64x2.add, ...i32x4.truncSatF64x2SZero],
  ];
  return [
    ...[...local.get(from), ...v128.load(offset), ...local.tee(four), ...pair],
    ...[...local.get(four), ...local.get(four), ...v128.shuffle(highHalf), ...pair],
    ...v128.shuffle(lowHalves),
  ];
};

const splats = ({ minimum, factor, half }: MakerLocals): Code => [
  ...[...local.get(3), ...f64x2.splat, ...local.set(minimum)],
  ...[...local.get(4), ...f64x2.splat, ...local.set(factor)],
  ...[...f64.const(0.5), ...f64x2.splat, ...local.set(half)],
];

/** A loop that turns sixteen values at a time into codes; those beyond the grid become its ends. */
const sixteens = (four: (offset: number) => Code, before: Code = []): Code =>
  whileBelow(0, 1, 64, [
    ...before,
    ...local.get(2),
    ...[...four(0), ...four(16), ...narrow.i32x4S],
    ...[...four(32), ...four(48), ...narrow.i32x4S],
    ...[...narrow.i16x8U, ...v128.store(0)],
    ...[...local.get(2), ...i32.const(16), ...i32.add, ...local.set(2)],
  ]);

const nearest: WasmFunction = (() => {
  const locals = makerLocals(5);
  return {
    name: "nearest",
    parameters: ["i32", "i32", "i32", "f64", "f64"],
    locals: ["v128", "v128", "v128", "v128"],
    body: [...splats(locals), ...sixteens((offset) => places(0, offset, locals))],
  };
})();

/** The next four hashes of seed and counters (`counterHash`), kept, which serve eight values. */
function nextHashes({ seed, counter, hash }: MakerLocals): Code {
  const mixed = (shift: number): Code => [
    ...[...local.tee(hash), ...local.get(hash), ...i32.const(shift), ...i32x4.shrU, ...v128.xor],
  ];
  const times = (factor: number): Code => [...i32.const(factor), ...i32x4.splat, ...i32x4.mul];
  return [
    ...[...local.get(counter), ...times(0x9e37_79b9), ...local.get(seed), ...v128.xor],
    ...[...mixed(16), ...times(0x21f0_aaad), ...mixed(15), ...times(0x735a_2d97), ...mixed(15)],
    ...local.set(hash),
    ...[
      ...local.get(counter),
      ...i32.const(8),
      ...i32x4.splat,
      ...i32x4.add,
      ...local.set(counter),
    ],
  ];
}

const draw: WasmFunction = (() => {
  const locals = makerLocals(7);
  const { seed, counter, hash } = locals;
  // Halves of a hash lie in the order of the two values that they serve.
  const drawn = (offset: number): Code => [
    ...(offset % 32 === 0 ? nextHashes(locals) : []),
    ...[...places(0, offset, locals), ...local.get(hash)],
    ...(offset % 32 === 0 ? i32x4.extendLowI16x8U : i32x4.extendHighI16x8U),
    ...[...i32x4.add, ...i32.const(16), ...i32x4.shrU],
  ];
  return {
    name: "draw",
    parameters: ["i32", "i32", "i32", "f64", "f64", "i32", "i32"],
    locals: ["v128", "v128", "v128", "v128", "v128", "v128", "v128"],
    body: [
      ...splats(locals),
      ...[...local.get(5), ...i32x4.splat, ...local.set(seed)],
      ...[
        ...local.get(6),
        ...i32x4.splat,
        ...i32x4.of([0, 2, 4, 6]),
        ...i32x4.add,
        ...local.set(counter),
      ],
      ...sixteens(drawn),
    ],
  };
})();

/** Values of codes. Steps have few enough bits for products that float32 holds. */
const decode: WasmFunction = (() => {
  const [out, codes, step, minimum] = [2, 5, 6, 7];
  const four = (offset: number, halves: Code, quarters: Code): Code => [
    ...[...local.get(out), ...local.get(codes), ...halves, ...quarters, ...f32x4.convertI32x4S],
    ...[...local.get(step), ...f32x4.mul, ...local.get(minimum), ...f32x4.add],
    ...v128.store(offset),
  ];
  return {
    name: "decode",
    parameters: ["i32", "i32", "i32", "f32", "f32"],
    locals: ["v128", "v128", "v128"],
    body: [
      ...[...local.get(3), ...f32x4.splat, ...local.set(step)],
      ...[...local.get(4), ...f32x4.splat, ...local.set(minimum)],
      ...whileBelow(0, 1, 16, [
        ...[...local.get(0), ...v128.load(0), ...local.set(codes)],
        ...four(0, i16x8.extendLowI8x16U, i32x4.extendLowI16x8U),
        ...four(16, i16x8.extendLowI8x16U, i32x4.extendHighI16x8U),
        ...four(32, i16x8.extendHighI8x16U, i32x4.extendLowI16x8U),
        ...four(48, i16x8.extendHighI8x16U, i32x4.extendHighI16x8U),
        ...[...local.get(out), ...i32.const(64), ...i32.add, ...local.set(out)],
      ]),
    ],
  };
})();

/** The module's own interface, in addresses. */
interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  measure(from: number, to: number): void;
  nearest(from: number, to: number, out: number, minimum: number, perStep: number): void;
  draw(
    from: number,
    to: number,
    out: number,
    minimum: number,
    perPart: number,
    seed: number,
    counter: number,
  ): void;
  decode(from: number, to: number, out: number, step: number, minimum: number): void;
}

/** What every world has under this name, as far as it is needed here. */
interface WebAssemblyGlobal {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: object };
}

function instantiate({ Module, Instance }: WebAssemblyGlobal): Lanes {
  const module = new Module(wasmModule([measure, nearest, draw, decode], pages));
  const exports = new Instance(module).exports as Exports;
  const { buffer } = exports.memory;
  const at = (index: number): number => valuesAt + 4 * index;
  return {
    values: new Float32Array(buffer, valuesAt, windowLength),
    codes: new Uint8Array(buffer, codesAt, windowLength),
    extremes: new Int32Array(buffer, 0, 8),
    measure: (from, to) => exports.measure(at(from), at(to)),
    nearest: (from, to, minimum, perStep) =>
      exports.nearest(at(from), at(to), codesAt + from, minimum, perStep),
    decode: (from, to, step, minimum) =>
      exports.decode(codesAt + from, codesAt + to, at(from), step, minimum),
    draw: (from, to, minimum, perPart, seed, counter) =>
      exports.draw(at(from), at(to), codesAt + from, minimum, perPart, seed, counter),
  };
}

let known: Lanes | null | undefined;

/**
 * The lanes of this thread; null where its platform has none, or forbids them. Everybody computes in
 * the same window, so nothing is left there from one tensor to the next.
 */
export function lanesHere(): Lanes | null {
  if (known !== undefined) return known;
  const { WebAssembly } = globalThis as { WebAssembly?: WebAssemblyGlobal };
  try {
    known = WebAssembly === undefined ? null : instantiate(WebAssembly);
  } catch {
    known = null;
  }
  return known;
}
