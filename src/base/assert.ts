/**
 * Assertions for programmer errors. They stay on in production: a broken
 * invariant must stop the peer that broke it, not travel into the weights.
 * Bad input is never an assertion; see `errors.ts`.
 */

/** Thrown only when our own code is wrong. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

/** Fails loudly when a fact that the code relies on does not hold. */
export function assert(fact: unknown, message: string): asserts fact {
  if (!fact) throw new AssertionError(message);
}

/** Ends a `switch` over a union: a new member without a case is a type error. */
export function unreachable(value: never): never {
  throw new AssertionError(`unhandled case: ${JSON.stringify(value)}`);
}

/** Returns the value, or fails when it is absent although it must be there. */
export function present<T>(value: T | null | undefined, what: string): T {
  assert(value !== null && value !== undefined, `${what} is missing`);
  return value;
}
