import { expect, test } from "vitest";
import { AssertionError, assert, present, unreachable } from "./assert.ts";
import { EdgeloomError, InputError, ModelError, messageOf, PlanError } from "./errors.ts";

test("an input error says where, what, what was received and what is allowed", () => {
  const problem = {
    what: "batch",
    received: "-1",
    allowed: "an integer of at least 1",
    where: "job.yaml:7",
  };
  const error = new InputError(problem);
  expect(error.message).toBe("job.yaml:7: batch: got -1; allowed: an integer of at least 1");
  expect(error.problem).toEqual(problem);
  expect(error).toBeInstanceOf(EdgeloomError);
});

test("an input error without a place begins with what was refused", () => {
  const error = new InputError({ what: "--duty", received: "2", allowed: "above 0, at most 1" });
  expect(error.message).toBe("--duty: got 2; allowed: above 0, at most 1");
});

test("a model error names operator and node as far as they are known", () => {
  const both = new ModelError("has no gradient", { node: "act1", operator: "Erf" });
  expect(both.message).toBe('Erf "act1": has no gradient');
  expect([both.node, both.operator]).toEqual(["act1", "Erf"]);
  expect(new ModelError("is missing", { node: "fc1" }).message).toBe("fc1: is missing");
  expect(new ModelError("not a model").message).toBe("not a model");
});

test("errors keep their cause and their name", () => {
  const cause = new Error("disk");
  const error = new InputError({ what: "data", received: "x", allowed: "y" }, { cause });
  expect(error.cause).toBe(cause);
  expect(new PlanError("no").name).toBe("PlanError");
});

test("anything thrown has a message", () => {
  expect(messageOf(new Error("text"))).toBe("text");
  expect(messageOf("text")).toBe("text");
  expect(messageOf(undefined)).toBe("undefined");
});

test("assertions fail loudly, and not on falsy values that are present", () => {
  expect(() => assert(1 > 2, "order")).toThrow(new AssertionError("order"));
  expect(present(0, "zero")).toBe(0);
  expect(() => present(null, "the plan")).toThrow("the plan is missing");
  expect(() => unreachable("x" as never)).toThrow('unhandled case: "x"');
});
