/** Sums of products by labelled axes. */
import type { Check } from "../gradients.ts";

export function einsumGradients(check: Check): void {
  const sum = (equation: string, ...inputs: (readonly number[])[]): void =>
    check("Einsum", equation, inputs, { equation });
  sum("ij->ji", [2, 3]);
  sum("ijk->j", [2, 3, 4]);
  sum("ij->", [2, 3]);
  sum("b...i->...b", [2, 3, 2, 4]);
  sum("ij,jk->ik", [2, 3], [3, 4]);
  sum("ij,jk", [2, 3], [3, 4]);
  sum("ba,ca", [2, 3], [4, 3]);
  sum("bij,bjk->bik", [2, 2, 3], [2, 3, 4]);
  sum("bqhd,bkhd->bhqk", [2, 3, 2, 4], [2, 2, 2, 4]);
  sum("bhqk,bkhd->bqhd", [2, 2, 3, 2], [2, 2, 2, 4]);
  sum("abc,cde->abde", [2, 2, 3], [3, 2, 2]);
  sum("abcd,cde->abe", [2, 2, 3, 2], [3, 2, 2]);
  sum("i,i->", [3], [3]);
  sum("i,j->ij", [2], [3]);
  sum("bi,bi->bi", [2, 3], [2, 3]);
  sum("bij,i->jb", [2, 3, 2], [3]);
  sum("ijk,jl->li", [2, 3, 2], [3, 2]);
  sum("...ij,...jk->...ik", [2, 1, 2, 3], [3, 3, 2]);
  sum("ij,jk->ik", [2, 1], [3, 4]);
  sum("ij,j->i", [2, 3], [1]);
}
