/** Resizing in every mode, larger and smaller, by scales and by sizes. */
import { float32 } from "../../../src/base/tensor.ts";
import { type Check, list } from "../gradients.ts";

const coordinates = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"];
const roundings = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"];

export function resizeGradients(check: Check): void {
  const larger = list(1, 2, 5, 7);
  const smaller = float32([4], [1, 1, 0.5, 0.6]);
  for (const coordinate_transformation_mode of coordinates) {
    const place = { coordinate_transformation_mode };
    for (const nearest_mode of roundings) {
      const attributes = { ...place, nearest_mode };
      const name = `nearest, ${coordinate_transformation_mode}, ${nearest_mode}`;
      check("Resize", `${name}, larger`, [[1, 2, 3, 4], null, null, larger], attributes);
      check("Resize", `${name}, smaller`, [[1, 2, 4, 5], null, smaller], attributes);
    }
    const linear = { ...place, mode: "linear" };
    const name = `linear, ${coordinate_transformation_mode}`;
    check("Resize", `${name}, larger`, [[1, 2, 3, 4], null, null, larger], linear);
    check("Resize", `${name}, smaller`, [[1, 2, 4, 5], null, smaller], linear);
    check("Resize", `${name}, to one`, [[1, 1, 4], null, null, list(1, 1, 1)], linear);
    check("Resize", `${name}, of sequences`, [[2, 2, 3], null, float32([3], [1, 1, 2.5])], linear);
  }
  const twice = float32([4], [1, 1, 2, 2]);
  check("Resize", "by whole factors, as a half pixel has it", [[1, 2, 2, 3], null, twice]);
  check("Resize", "of channels by a whole factor", [[1, 2, 3], null, null, list(2, 4, 3)]);
  check("Resize", "of chosen axes", [[1, 2, 3, 4], null, null, list(8, 6)], { axes: [3, -2] });
  check("Resize", "to the same size", [[1, 2, 3], null, null, list(1, 2, 3)], { mode: "linear" });
}
