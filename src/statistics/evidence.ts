/** A value of E as text: 0.5 is `0.5`, 12345 is `1.2e+4`. What has not reached its `limit` does not look as if it had. Pure. */
export function evidenceText(value: number, limit = Infinity): string {
  const [text, shown] = [rounded(value), Number(rounded(limit))]
  if (value >= limit || Number(text) < shown) return text
  const lastDigit = 10 ** (Math.floor(Math.log10(value)) - digitsOf(value) + 1)
  return rounded(shown - lastDigit)
}

function rounded(value: number): string {
  const digits = digitsOf(value)
  return digits === 2 ? value.toExponential(1) : String(Number(value.toPrecision(digits)))
}

function digitsOf(value: number): 2 | 3 {
  return value >= 10_000 || (value > 0 && value < 0.001) ? 2 : 3
}
