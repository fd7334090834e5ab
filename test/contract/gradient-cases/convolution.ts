/** Transposed convolutions in every form of their attributes. */
import type { Check } from "../gradients.ts";

export function convolutionGradients(check: Check): void {
  const check2d = (form: string, x: number[], w: number[], attributes: object = {}): void =>
    check("ConvTranspose", form, [x, w], { ...attributes });
  check("ConvTranspose", "with bias", [[2, 2, 3, 2], [2, 3, 3, 2], [3]]);
  check2d("of stride 2", [2, 2, 3, 2], [2, 2, 3, 3], { strides: [2, 2] });
  check2d("with pads", [1, 2, 3, 4], [2, 3, 3, 3], { pads: [1, 0, 0, 1] });
  check2d("with output padding", [1, 2, 3, 2], [2, 2, 3, 3], {
    strides: [2, 3],
    pads: [1, 1, 1, 1],
    output_padding: [1, 2],
  });
  check2d("dilated", [1, 2, 3, 3], [2, 2, 2, 2], { dilations: [2, 3] });
  check2d("with output padding beyond the stride", [1, 2, 3, 3], [2, 2, 2, 2], {
    dilations: [3, 3],
    output_padding: [2, 1],
  });
  check2d("in groups", [2, 4, 3, 2], [4, 2, 2, 2], { group: 2, strides: [2, 1] });
  check2d("depthwise", [2, 3, 3, 2], [3, 1, 2, 3], { group: 3 });
  check2d("to given sizes", [1, 2, 3, 3], [2, 2, 3, 3], { strides: [2, 2], output_shape: [6, 5] });
  check2d("SAME_UPPER", [1, 2, 3, 3], [2, 2, 3, 2], { strides: [2, 2], auto_pad: "SAME_UPPER" });
  check2d("SAME_LOWER", [1, 2, 3, 3], [2, 2, 3, 2], { strides: [2, 2], auto_pad: "SAME_LOWER" });
  check2d("in one dimension", [2, 2, 5], [2, 3, 3], { strides: [2], pads: [1, 0] });
  check2d("of many channels", [1, 2, 3, 2], [2, 10, 2, 2], { strides: [2, 2] });
}
