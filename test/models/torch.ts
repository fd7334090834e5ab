/** Whether this machine has PyTorch, and why tests that need it are skipped. */
import { spawnSync } from "node:child_process";

export const python = process.env.PYTHON ?? "python3";
const hasTorch = spawnSync(python, ["-c", "import torch"]).status === 0;
/** Why tests that need it are skipped; undefined where it is there. */
export const reason = hasTorch
  ? undefined
  : `${python} has no torch (the variable PYTHON names another)`;
