// Numbers for the axes of charts. Pure.

/** The end of an axis that has room for all, such as 1, 1.5, 2 or 3 times a power of ten. */
export function niceMost(values: number[]): number {
  const most = Math.max(1, ...values)
  const power = 10 ** Math.floor(Math.log10(most))
  return ([1, 1.5, 2, 3, 4, 5, 6, 8].find((each) => each * power >= most) ?? 10) * power
}

export function round(value: number, digits: number): number {
  return Number(value.toFixed(digits))
}
