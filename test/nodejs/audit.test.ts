import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  type Audit,
  audit,
  builtInModel,
  InputError,
  loadShard,
  withWeights,
  writeSafetensors,
} from "../../src/nodejs.ts";
import { edgeloom } from "./processes.ts";

const folder = mkdtempSync(join(tmpdir(), "edgeloom-audit-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const job = join(folder, "job.yaml");
writeFileSync(
  job,
  "model: lenet5\ndata: mnist\nfleet: { cellMbit: 400, devices: [{ name: phone }] }\n",
);
const out = join(folder, "audit.json");
const plot = join(folder, "audit.svg");
const lines = (text: string): string[] => text.trimEnd().split("\n");

describe("an audit of LeNet-5 on MNIST", () => {
  it("finds less the deeper the cut, and says so in a table, a file and a picture", async () => {
    const flags = ["--samples", "480", "--cuts", "2,5,8,11", "--out", out, "--plot", plot];
    const { code, stdout } = await edgeloom(["audit", job, ...flags]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ {2}2 {2}pool1 +4\.7 kB +0\.\d{3} +0\.\d{3} +0\.\d{3}$/m);
    const found: Audit = JSON.parse(readFileSync(out, "utf8"));
    const scores = found.cuts.map(({ reconstruction }) => reconstruction?.r2 ?? Number.NaN);
    const likeness = found.cuts.map(({ reconstruction }) => reconstruction?.ssim ?? Number.NaN);
    for (const measured of [scores, likeness]) {
      expect(measured).toHaveLength(4);
      expect(measured).toEqual(measured.toSorted((a, b) => b - a));
    }
    expect(scores[0]).toBeGreaterThan(0.8);
    expect(scores[3]).toBeLessThan(0.5);
    for (const { labelAccuracy } of found.cuts) {
      expect(labelAccuracy).toBeGreaterThan(2 * found.blind.labelAccuracy);
    }
    const svg = readFileSync(plot, "utf8");
    expect(svg).toMatch(/^<svg .*<\/svg>\n$/s);
    expect(svg.match(/stroke-linecap="round">(<path d="M[\d. ]+h0"\/>){4}/g)).toHaveLength(3);
  });

  it("becomes a floor under the cuts of a plan", async () => {
    const found: Audit = JSON.parse(readFileSync(out, "utf8"));
    const [, second, third] = found.cuts.map(({ reconstruction }) => reconstruction?.r2 ?? 0);
    const leakMax = String(((second ?? 0) + (third ?? 0)) / 2);
    const flags = ["--audit", out, "--leak-max", leakMax, "--json"];
    const { code, stdout } = await edgeloom(["plan", job, ...flags]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/least cut 8: from cut 8 on \(R² 0\.\d\d\) inputs come back with/);
    const { plan, leakFloor } = JSON.parse(lines(stdout).at(-1) ?? "");
    expect(leakFloor.cutMin).toBe(8);
    const kept = plan.copies.filter((copy: { from: number }) => copy.from === 0);
    expect(kept.length).toBeGreaterThan(0);
    for (const { to } of kept) expect(to).toBeGreaterThanOrEqual(8);
  });

  it("is refused as a floor for another job, without its bound, and where no cut keeps it", async () => {
    const other = join(folder, "other.yaml");
    writeFileSync(other, "model: lenet5\ndata: mnist\ncodec: { up: affine8 }\n");
    const refused = async (args: readonly string[]) => {
      const { code, stderr } = await edgeloom(["plan", ...args]);
      expect(code).toBe(2);
      return stderr;
    };
    const audited = ["--audit", out];
    expect(await refused([other, ...audited, "--leak-max", "0.9"])).toMatch(
      /audit's codec: got float32/,
    );
    expect(await refused([job, ...audited])).toMatch(/--audit: got one without the other/);
    expect(await refused([job, ...audited, "--leak-max", "0"])).toMatch(/cut, 11, reveals more/);
    const odd = ["--audit", job, "--leak-max", "0.5"];
    expect(await refused([job, ...odd])).toMatch(/allowed: a file that edgeloom audit --out/);
  });

  it("is of the weights that it is given", async () => {
    const made = builtInModel("mlp", { seed: 1 });
    const weights = new Map(made.weights);
    const first = weights.get("fc1.weight");
    if (first === undefined) throw new Error("mlp has no fc1.weight");
    // A first layer that is deaf: nothing of the input gets through.
    weights.set("fc1.weight", { ...first, data: new Float32Array(first.data.length) });
    const path = join(folder, "deaf.safetensors");
    writeFileSync(path, writeSafetensors(weights));
    const options = {
      job: { model: "mlp", data: "mnist", batch: 30 } as const,
      train: loadShard("mnist"),
      samples: 180,
      cuts: [2],
    };
    const [heard] = (await audit({ ...options, model: made })).cuts;
    const [deaf] = (await audit({ ...options, model: withWeights(made, path) })).cuts;
    expect(heard?.reconstruction?.r2).toBeGreaterThan(0.5);
    expect(Math.abs(deaf?.reconstruction?.r2 ?? 1)).toBeLessThan(0.05);
    expect(() => withWeights(builtInModel("lenet5", { seed: 1 }), path)).toThrow(InputError);
  });
});
