/** The flags that say how data at a path are to be read. */
import type { PathOptions } from "../nodejs.ts";

export interface PathFlags {
  readonly label?: string;
  readonly key?: string;
  readonly classes?: readonly string[];
}

export const pathOptions = ({ label, key, classes }: PathFlags): PathOptions => ({
  ...(label === undefined ? {} : { label }),
  ...(key === undefined ? {} : { key }),
  ...(classes === undefined ? {} : { classNames: classes }),
});
