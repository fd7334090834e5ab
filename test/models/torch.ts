/** Whether this machine has PyTorch, and why tests that need it are skipped. */
import { spawnSync } from "node:child_process";

export const python = process.env.PYTHON ?? "python3";
export const hasTorch = spawnSync(python, ["-c", "import torch"]).status === 0;
/** For the names of tests. */
export const reason = hasTorch
  ? ""
  : `: skipped, ${python} has no torch (the variable PYTHON names another)`;
