/** Large pictures made small: an audit asks what they show, not what their finest grain is. */
import type { PictureShape } from "./similarity.ts";

/** Longest side of a picture that is reconstructed as it is. */
const sideMax = 32;

/** What samples of a shape [channels, height, width] are pictures of; null for other shapes. */
export function pictureOf(shape: readonly number[]): PictureShape | null {
  const [channels, height, width] = shape;
  if (shape.length !== 3) return null;
  return { channels: channels as number, height: height as number, width: width as number };
}

/** By which whole number the sides of a picture are divided. */
const factorOf = ({ height, width }: PictureShape): number =>
  Math.max(1, Math.ceil(Math.max(height, width) / sideMax));

/** The shape in which a picture is reconstructed. */
export function shrunkShape(shape: PictureShape): PictureShape {
  const factor = factorOf(shape);
  const side = (length: number): number => Math.max(1, Math.floor(length / factor));
  return { ...shape, height: side(shape.height), width: side(shape.width) };
}

/** A picture in its shrunk shape: each value is the mean of a square; what fills no square is cut off. */
export function shrunk(values: ArrayLike<number>, shape: PictureShape): Float64Array {
  const factor = factorOf(shape);
  const { channels, height, width } = shrunkShape(shape);
  const [down, across] = [Math.min(factor, shape.height), Math.min(factor, shape.width)];
  const out = new Float64Array(channels * height * width);
  for (let i = 0; i < out.length; i++) {
    const [channel, y, x] = [
      Math.floor(i / (height * width)),
      Math.floor(i / width) % height,
      i % width,
    ];
    let sum = 0;
    for (let dy = 0; dy < down; dy++) {
      const row = (channel * shape.height + y * factor + dy) * shape.width + x * factor;
      for (let dx = 0; dx < across; dx++) sum += values[row + dx] as number;
    }
    out[i] = sum / (down * across);
  }
  return out;
}
