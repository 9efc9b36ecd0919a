/** A share between 0 and 1 as text: 0.005 is `0.5%`. `digits`: the most digits after the point. */
export function percent(share: number, digits = 2): string {
  return `${Number((100 * share).toFixed(digits))}%`
}
