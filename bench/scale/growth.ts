// How a cost grows with a size: the exponent b of cost = a·size^b. 1 is linear, 0 is flat. Pure.

export type Point = { size: number; cost: number }

/** Least squares on the logarithms. Undefined without two sizes that cost anything. */
export function growthExponent(points: readonly Point[]): number | undefined {
  const logs = points
    .filter(({ size, cost }) => size > 0 && cost > 0)
    .map(({ size, cost }) => ({ x: Math.log(size), y: Math.log(cost) }))
  const [meanX, meanY] = [mean(logs.map(({ x }) => x)), mean(logs.map(({ y }) => y))]
  const spread = logs.reduce((sum, { x }) => sum + (x - meanX) ** 2, 0)
  if (!(spread > 0)) return undefined
  return logs.reduce((sum, { x, y }) => sum + (x - meanX) * (y - meanY), 0) / spread
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, each) => sum + each, 0) / values.length
}
