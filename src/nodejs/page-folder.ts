/** Where the built pages lie: in `dist/` of the checkout, or of the installed package. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Folder of the built page that shows a run, or of the one that joins; null where nobody has built it. */
export function pageFolder(page: "page" | "join" = "page"): string | null {
  const folder = fileURLToPath(new URL(`../../dist/${page}`, import.meta.url));
  return existsSync(folder) ? folder : null;
}
