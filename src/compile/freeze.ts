/** Freezing: parameters that a run leaves as they are, named by patterns. */
import { ModelError } from "../base/errors.ts";
import type { Graph } from "./graph.ts";

/** Text in which no character means anything but itself. */
const literally = (text: string): string => text.replaceAll(/[^\w]/g, "\\$&");

/**
 * Marks parameters as frozen. Every other mark of the kind is taken off.
 * @param patterns names in which `*` stands for any characters: "features.*"
 * @throws ModelError where a pattern fits no parameter
 */
export function frozen(graph: Graph, patterns: readonly string[]): Graph {
  const tests = patterns.map(
    (pattern) => new RegExp(`^${pattern.split("*").map(literally).join(".*")}$`),
  );
  const names = graph.parameters.map(({ name }) => name);
  const idle = patterns[tests.findIndex((test) => !names.some((name) => test.test(name)))];
  if (idle !== undefined) {
    throw new ModelError(
      `frozen: "${idle}" is the name of no parameter; there are ${names.join(", ")}`,
    );
  }
  return {
    ...graph,
    parameters: graph.parameters.map(({ frozen: _, ...parameter }) =>
      tests.some((test) => test.test(parameter.name)) ? { ...parameter, frozen: true } : parameter,
    ),
  };
}
