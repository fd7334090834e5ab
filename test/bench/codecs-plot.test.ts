/** The picture of what codecs cost: every codec a dot and a name, and feedback beside the same without. */
import { expect, test } from "vitest";
import { codecsPlot } from "../../bench/codecs-plot.ts";

const outcomes = [
  { name: "float32", megabytes: 602, accuracy: 0.837 },
  { name: "affine8", megabytes: 156, accuracy: 0.838 },
  { name: "affine4", megabytes: 82, accuracy: 0.8373 },
  { name: "affine4+feedback", megabytes: 82, accuracy: 0.8361 },
  { name: "affine8 up and topk10 down", megabytes: 91, accuracy: 0.803 },
  { name: "affine8 up and topk10+feedback down", megabytes: 91, accuracy: 0.798 },
];
const svg = codecsPlot(outcomes, "a test <of> it");

/** Places of dots by their colour. */
const dots = (color: string): string[] =>
  [...svg.matchAll(new RegExp(`stroke="${color}"><path d="M([\\d. ]+)"`, "g"))].map(
    ([, place = ""]) => place,
  );

test("dots with feedback and without have colours of their own, and fewer bytes are to the left", () => {
  const [plain, fed] = [dots("#2f7bd2"), dots("#d2552f")];
  expect(plain).toHaveLength(4);
  expect(fed).toHaveLength(2);
  const [all, eight, four] = plain.map((place) => Number(place.split(" ")[0]));
  expect(four).toBeLessThan(eight ?? 0);
  expect(eight).toBeLessThan(all ?? 0);
});

test("a codec with feedback is joined with the same without", () => {
  const lines = dots("#9aa5b1");
  expect(lines).toHaveLength(0);
  const joined = [...svg.matchAll(/stroke="#9aa5b1"><path d="M([\d.]+) [\d.]+L([\d.]+) /g)];
  expect(joined).toHaveLength(2);
  for (const [, from, to] of joined) expect(from).toBe(to);
});

test("names do not lie upon one another, those of one place are together, and text is text", () => {
  const texts = /<text x="([\d.]+)" y="([\d.]+)" class="name"[^>]*>([^<]+)/g;
  const names = [...svg.matchAll(texts)].map(([, x, y, name = ""]) => {
    return { name, from: Number(x), to: Number(x) + 5.5 * name.length, y: Number(y) };
  });
  expect(names.map(({ name }) => name)).toEqual([
    ...["float32", "affine8", "affine4, affine4+feedback"],
    ...["affine8 up and topk10 down", "affine8 up and topk10+feedback down"],
  ]);
  for (const [i, one] of names.entries()) {
    for (const other of names.slice(i + 1)) {
      const isApart = one.to <= other.from || other.to <= one.from;
      expect(isApart || Math.abs(one.y - other.y) >= 12, `${one.name} and ${other.name}`).toBe(
        true,
      );
    }
  }
  expect(svg).toContain("a test &lt;of&gt; it");
});
