import { expect, test } from "vitest";
import { historyOf, sampleRecords } from "../testing/sample-run.ts";
import { factsOf } from "./compare-facts.ts";

test("what differs is told in its own unit, and what is equal has equal texts", () => {
  const other = sampleRecords().map((record) => {
    const fields = record as { type: string; accuracy?: number };
    if (fields.type === "run") return { ...fields, seed: 4, model: "?" };
    return fields.type === "evaluation" ? { ...fields, accuracy: 0.6 } : fields;
  });
  const facts = new Map(
    factsOf(historyOf(sampleRecords()), historyOf(other)).map((fact) => [fact.name, fact]),
  );
  expect(facts.get("seed")).toMatchObject({ a: "3", b: "4", difference: "differs" });
  expect(facts.get("model")).toMatchObject({ a: "small", difference: "not known" });
  expect(facts.get("accuracy")).toMatchObject({
    a: "80.00 %",
    b: "60.00 %",
    difference: "−20.00 points",
  });
  expect(facts.get("batch")?.a).toBe(facts.get("batch")?.b);
});

test("figures differ by a share, large ones by a factor", () => {
  const short = sampleRecords(false).slice(0, 7);
  const facts = new Map(
    factsOf(historyOf(short), historyOf(sampleRecords())).map((fact) => [fact.name, fact]),
  );
  expect(facts.get("training loss")?.difference).toBe("−75 %");
  expect(facts.get("rounds done")?.difference).toBe("+300 %");
  expect(facts.get("accuracy")?.difference).toBe("–");
});
