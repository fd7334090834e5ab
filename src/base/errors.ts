/**
 * Bad input as data. Every class says what was received, what is allowed and
 * where, in fields as well as in words, so that the command line, a web page
 * and a test can each show it in their own manner.
 *
 * Three manners of failure, never mixed: bugs assert (`assert.ts`), bad input
 * throws one of these, expected events (a peer leaves) are states and messages.
 */

/** Base of every error that a user can cause and can mend. */
export class EdgeloomError extends Error {
  override readonly name: string = "EdgeloomError";
}

/** What {@link InputError} says about one refused value. */
export interface InputProblem {
  /** What was refused, in the user's words: "batch", "--duty", "data folder". */
  readonly what: string;
  /** The value received, printed. */
  readonly received: string;
  /** What would have been accepted. */
  readonly allowed: string;
  /** File and line, flag, or field path. */
  readonly where?: string;
}

/** Wrong input or usage: a job file, a flag, a data folder. The CLI exits with 2. */
export class InputError extends EdgeloomError {
  override readonly name = "InputError";
  readonly problem: InputProblem;

  constructor(problem: InputProblem, options?: ErrorOptions) {
    const where = problem.where === undefined ? "" : `${problem.where}: `;
    super(`${where}${problem.what}: got ${problem.received}; allowed: ${problem.allowed}`, options);
    this.problem = problem;
  }
}

/** A model that cannot be read, checked or trained. Names the node and its operator where known. */
export class ModelError extends EdgeloomError {
  override readonly name = "ModelError";
  /** Name of the offending node or value, where there is one. */
  readonly node: string | null;
  /** ONNX operator of the offending node, where there is one. */
  readonly operator: string | null;

  constructor(
    message: string,
    at: { node?: string; operator?: string } = {},
    options?: ErrorOptions,
  ) {
    const place =
      at.operator === undefined
        ? at.node === undefined
          ? ""
          : `${at.node}: `
        : `${at.operator} "${at.node ?? "?"}": `;
    super(place + message, options);
    this.node = at.node ?? null;
    this.operator = at.operator ?? null;
  }
}

/** Longest message of a {@link ProtocolError}, in UTF-16 units. */
const wordsMax = 500;

/** Bytes from another peer that break the protocol. The link that carried them is closed. */
export class ProtocolError extends EdgeloomError {
  override readonly name = "ProtocolError";
  /** Whether the bytes are wrong, or right in a version of the protocol that we do not speak. */
  readonly reason: "protocol" | "version";

  constructor(
    message: string,
    options: ErrorOptions & { readonly reason?: "protocol" | "version" } = {},
  ) {
    // What was received may be quoted, and be of any length.
    super(message.length > wordsMax ? `${message.slice(0, wordsMax - 1)}…` : message, options);
    this.reason = options.reason ?? "protocol";
  }
}

/** No plan satisfies the constraints. Says which one and by how much. */
export class PlanError extends EdgeloomError {
  override readonly name = "PlanError";
}

/** The message of anything thrown, for logs and refusals. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
