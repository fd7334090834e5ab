/** Where the built page lies: in `dist/` of the checkout, or of the installed package. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Folder of the built page; null where nobody has built it. */
export function pageFolder(): string | null {
  const folder = fileURLToPath(new URL("../../dist/page", import.meta.url));
  return existsSync(folder) ? folder : null;
}
