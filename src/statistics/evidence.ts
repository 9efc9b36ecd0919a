/** A value of E as text: 0.5 is `0.5`, 12345 is `1.2e+4`. Pure. */
export function evidenceText(value: number): string {
  const isExtreme = value >= 10_000 || (value > 0 && value < 0.001)
  return isExtreme ? value.toExponential(1) : String(Number(value.toPrecision(3)))
}
