/** Circular and hyperbolic functions and their inverses; float types only. */
import { scalar } from "./gradients.ts";
import { type Context, input, output, through, unary } from "./pointwise.ts";

/** Counted as the handful of operations that a polynomial takes. */
const flops = 4;

/** `x` squared; constants are of its element type. */
const square = (context: Context, x: string): string => context.emit("Mul", [x, x]);

/** `1 + sign x²`. */
function onePlusSquare(context: Context, x: string, sign: 1 | -1): string {
  const one = scalar(context, x, 1);
  return sign === 1
    ? context.emit("Add", [square(context, x), one])
    : context.emit("Sub", [one, square(context, x)]);
}

const Sin = unary(
  flops,
  Math.sin,
  through((c, g) => c.emit("Mul", [g, c.emit("Cos", [input(c)])])),
);

const Cos = unary(
  flops,
  Math.cos,
  through((c, g) => c.emit("Neg", [c.emit("Mul", [g, c.emit("Sin", [input(c)])])])),
);

const Tan = unary(
  flops,
  Math.tan,
  through((c, g) => c.emit("Mul", [g, onePlusSquare(c, output(c), 1)])),
);

const Asin = unary(
  flops,
  Math.asin,
  through((c, g) => c.emit("Div", [g, c.emit("Sqrt", [onePlusSquare(c, input(c), -1)])])),
);

const Acos = unary(
  flops,
  Math.acos,
  through((c, g) => {
    const root = c.emit("Sqrt", [onePlusSquare(c, input(c), -1)]);
    return c.emit("Neg", [c.emit("Div", [g, root])]);
  }),
);

const Atan = unary(
  flops,
  Math.atan,
  through((c, g) => c.emit("Div", [g, onePlusSquare(c, input(c), 1)])),
);

const Sinh = unary(
  flops,
  Math.sinh,
  through((c, g) => c.emit("Mul", [g, c.emit("Cosh", [input(c)])])),
);

const Cosh = unary(
  flops,
  Math.cosh,
  through((c, g) => c.emit("Mul", [g, c.emit("Sinh", [input(c)])])),
);

const Asinh = unary(
  flops,
  Math.asinh,
  through((c, g) => c.emit("Div", [g, c.emit("Sqrt", [onePlusSquare(c, input(c), 1)])])),
);

const Acosh = unary(
  flops,
  Math.acosh,
  through((c, g) => {
    const rest = c.emit("Sub", [square(c, input(c)), scalar(c, g, 1)]);
    return c.emit("Div", [g, c.emit("Sqrt", [rest])]);
  }),
);

const Atanh = unary(
  flops,
  Math.atanh,
  through((c, g) => c.emit("Div", [g, onePlusSquare(c, input(c), -1)])),
);

/** Operators of this family. */
export const trigonometryOps = {
  Sin,
  Cos,
  Tan,
  Asin,
  Acos,
  Atan,
  Sinh,
  Cosh,
  Asinh,
  Acosh,
  Atanh,
};
