/** Whether this machine has PyTorch, and why tests that need it are skipped. */
import { spawnSync } from "node:child_process";

export const python = process.env.PYTHON ?? "python3";
/** Published models have operators that PyTorch has known since version 2. */
const needed = "import sys, torch; sys.exit(int(torch.__version__.split('.')[0]) < 2)";
const hasTorch = spawnSync(python, ["-c", needed]).status === 0;
/** Why tests that need it are skipped; undefined where it is there. */
export const reason = hasTorch
  ? undefined
  : `${python} has no torch of version 2 or later (the variable PYTHON names another)`;
