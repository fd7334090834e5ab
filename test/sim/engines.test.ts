/** The engines that need no platform, against the contract. */
import { interpreterEngine, nullEngine } from "../../src/sim/engines.ts";
import { testEngine } from "../contract/engine.ts";

testEngine("interpreter", interpreterEngine, {
  blocking: "it serves tests and simulation, which wait for it anyway",
});
testEngine("null", nullEngine, {
  hollow: "it moves tensors that do not exist",
  blocking: "it computes nothing",
});
