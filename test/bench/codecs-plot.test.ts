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

test("names do not lie upon one another, and text is text", () => {
  const names = [...svg.matchAll(/<text x="[\d.]+" y="([\d.]+)" class="name"[^>]*>([^<]+)/g)];
  expect(names.map(([, , name]) => name)).toEqual(outcomes.map(({ name }) => name));
  const [four, fed] = ["affine4", "affine4+feedback"].map((name) =>
    Number(names.find((match) => match[2] === name)?.[1]),
  );
  expect(Math.abs((four ?? 0) - (fed ?? 0))).toBeGreaterThanOrEqual(12);
  expect(svg).toContain("a test &lt;of&gt; it");
});
