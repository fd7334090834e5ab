/**
 * As much of a WebAssembly assembler as a few loops over 128-bit lanes need: instructions by the names
 * of the specification (WebAssembly core 2.0), and a module of functions over one memory.
 */

/** Instructions, as the bytes that stand for them. */
export type Code = readonly number[];

/** Unsigned LEB128. */
function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return [...bytes, rest];
}

/** Signed LEB128 of a 32-bit number. */
function signed(value: number): number[] {
  const bytes: number[] = [];
  let rest = value | 0;
  for (; rest < -0x40 || rest > 0x3f; rest >>= 7) bytes.push((rest & 0x7f) | 0x80);
  return [...bytes, rest & 0x7f];
}

const vector = (items: readonly Code[]): Code => [...unsigned(items.length), ...items.flat()];
const sized = (code: Code): Code => [...unsigned(code.length), ...code];
const text = (name: string): Code => sized([...name].map((letter) => letter.charCodeAt(0)));
const lane = (opcode: number): Code => [0xfd, ...unsigned(opcode)];

/** Types of parameters and locals. */
export const types = { i32: 0x7f, f32: 0x7d, f64: 0x7c, v128: 0x7b } as const;
export type TypeName = keyof typeof types;

export const local = {
  get: (index: number): Code => [0x20, ...unsigned(index)],
  set: (index: number): Code => [0x21, ...unsigned(index)],
  tee: (index: number): Code => [0x22, ...unsigned(index)],
};

export const i32 = {
  const: (value: number): Code => [0x41, ...signed(value)],
  add: [0x6a] as Code,
  geU: [0x4f] as Code,
};

export const f64 = {
  const: (value: number): Code => [0x44, ...new Uint8Array(Float64Array.of(value).buffer)],
};

export const v128 = {
  /** Takes an address, which need not be aligned. */
  load: (offset: number): Code => [...lane(0x00), 0, ...unsigned(offset)],
  store: (offset: number): Code => [...lane(0x0b), 0, ...unsigned(offset)],
  xor: lane(0x51),
  /** Bytes of two vectors, 0 to 15 of the first and 16 to 31 of the second. */
  shuffle: (bytes: readonly number[]): Code => [...lane(0x0d), ...bytes],
};

export const i32x4 = {
  splat: lane(0x11),
  shrS: lane(0xac),
  shrU: lane(0xad),
  add: lane(0xae),
  mul: lane(0xb5),
  minS: lane(0xb6),
  maxS: lane(0xb8),
  extendLowI16x8U: lane(0xa9),
  extendHighI16x8U: lane(0xaa),
  truncSatF64x2SZero: lane(0xfc),
  /** Four numbers. */
  of: (lanes: readonly number[]): Code => [
    ...lane(0x0c),
    ...new Uint8Array(Int32Array.from(lanes).buffer),
  ],
};

export const i16x8 = {
  extendLowI8x16U: lane(0x89),
  extendHighI8x16U: lane(0x8a),
};

export const f32x4 = {
  splat: lane(0x13),
  add: lane(0xe4),
  mul: lane(0xe6),
  convertI32x4S: lane(0xfa),
};

export const f64x2 = {
  splat: lane(0x14),
  sub: lane(0xf1),
  add: lane(0xf0),
  mul: lane(0xf2),
  promoteLowF32x4: lane(0x5f),
};

/** Both saturate. */
export const narrow = { i32x4S: lane(0x85), i16x8U: lane(0x66) };

/** Repeats the body while the address in a local is below that in another, which it moves on by `bytes`. */
export const whileBelow = (at: number, end: number, bytes: number, body: Code): Code => [
  ...[0x02, 0x40, 0x03, 0x40],
  ...[...local.get(at), ...local.get(end), ...i32.geU, 0x0d, 1],
  ...body,
  ...[...local.get(at), ...i32.const(bytes), ...i32.add, ...local.set(at)],
  ...[0x0c, 0, 0x0b, 0x0b],
];

/** A function without results. Locals are counted on from the parameters. */
export interface WasmFunction {
  readonly name: string;
  readonly parameters: readonly TypeName[];
  readonly locals: readonly TypeName[];
  readonly body: Code;
}

/** The bytes of a module that exports its functions, and `memory` of so many pages of 64 KiB. */
export function wasmModule(
  functions: readonly WasmFunction[],
  pages: number,
): Uint8Array<ArrayBuffer> {
  const section = (id: number, content: Code): Code => [id, ...sized(content)];
  const typeOf = (name: TypeName): Code => [types[name]];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(
      1,
      vector(functions.map(({ parameters }) => [0x60, ...vector(parameters.map(typeOf)), 0])),
    ),
    ...section(3, vector(functions.map((_, i) => unsigned(i)))),
    ...section(5, vector([[0, ...unsigned(pages)]])),
    ...section(
      7,
      vector([
        [...text("memory"), 2, 0],
        ...functions.map(({ name }, i) => [...text(name), 0, ...unsigned(i)]),
      ]),
    ),
    ...section(
      10,
      vector(
        functions.map(({ locals, body }) =>
          sized([...vector(locals.map((name) => [1, types[name]])), ...body, 0x0b]),
        ),
      ),
    ),
  ]);
}
