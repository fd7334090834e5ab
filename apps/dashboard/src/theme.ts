/** Light or dark: as the system has it, unless the reader chose. */
import { signal } from "@preact/signals";
import { store, stored } from "./stored.ts";

export type Theme = "light" | "dark";

const system = matchMedia("(prefers-color-scheme: dark)");
const chosen = (): Theme | null => {
  const text = stored("local", "edgeloom-theme");
  return text === "light" || text === "dark" ? text : null;
};
const current = (): Theme => chosen() ?? (system.matches ? "dark" : "light");

/** What is shown now; canvases repaint when it changes. */
export const theme = signal<Theme>(current());

const apply = (): void => {
  const choice = chosen();
  document.documentElement.style.colorScheme = choice ?? "light dark";
  theme.value = current();
};

system.addEventListener("change", apply);
apply();

/** Changes over; choosing what the system has anyway follows the system again. */
export function toggleTheme(): void {
  const next: Theme = theme.value === "dark" ? "light" : "dark";
  store("local", "edgeloom-theme", next === (system.matches ? "dark" : "light") ? null : next);
  apply();
}

/** A colour of style.css by its name (`--forward`), as canvases need it. */
export function colorOf(name: string): string {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}
