/** Holds the page's colours to WCAG AA in both lights: 4.5 for text, 3 for what is drawn. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

const css = readFileSync(new URL("base.css", import.meta.url), "utf8");
const colors = new Map<string, readonly [string, string]>();
for (const [, name, light, dark] of css.matchAll(/--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)/g)) {
  colors.set(name ?? "", [light ?? "", dark ?? ""]);
}

function luminance(hex: string): number {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => {
    const value = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: string, b: string): number {
  const [high = 0, low = 0] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
}

const of = (name: string, light: number): string => {
  const pair = colors.get(name);
  if (pair === undefined) throw new Error(`base.css has no --${name}`);
  return pair[light] ?? "";
};

const texts = ["text", "muted", "accent", "good", "bad", "warn"];
const grounds = ["ground", "panel", "sunken"];
const drawn = [
  ...["edge-line", "device", "edge", "cloud", "loss", "held-out", "accuracy", "run-a", "run-b"],
  ...["forward", "backward", "update", "evaluate", "sending", "receiving"],
  ...["s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8"],
];

describe.each([
  ["light", 0],
  ["dark", 1],
] as const)("in the %s", (_name, light) => {
  test.each(texts)("--%s reads as text on every ground", (text) => {
    for (const ground of grounds) {
      expect(contrast(of(text, light), of(ground, light))).toBeGreaterThanOrEqual(4.5);
    }
  });

  test.each(drawn)("--%s is told from the panel", (color) => {
    expect(contrast(of(color, light), of("panel", light))).toBeGreaterThanOrEqual(3);
  });

  test("text on the accent, and on the tags of two runs, reads", () => {
    for (const ground of ["accent", "run-a", "run-b"]) {
      expect(contrast(of("on-accent", light), of(ground, light))).toBeGreaterThanOrEqual(4.5);
    }
  });

  test("forward and backward differ in lightness alone", () => {
    expect(contrast(of("forward", light), of("backward", light))).toBeGreaterThanOrEqual(1.8);
  });
});
