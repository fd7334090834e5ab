/** Comparison of secrets. */

/**
 * Whether two texts are the same, in a time that tells nothing of where they differ: whoever
 * guesses learns only that a guess was wrong, and nothing of how far it was right.
 */
export function equalSecrets(a: string, b: string): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return difference === 0;
}
