/** Fashion-MNIST, which benchmarks of accuracy train on. */
import { existsSync } from "node:fs";
import { InputError } from "edgeloom";

/** Where Debian's package dataset-fashion-mnist puts it. */
export const fashion = "/usr/share/datasets/fashion-mnist";

/** @throws InputError where it is not there */
export function checkFashion(): void {
  if (existsSync(fashion)) return;
  throw new InputError({
    what: "Fashion-MNIST",
    received: `nothing at ${fashion}`,
    allowed: "Debian's package, by: apt-get install dataset-fashion-mnist",
  });
}
