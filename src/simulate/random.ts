// Random numbers from a seed: the simulation is the same on every machine.

export type Random = () => number

/** The same numbers from 0 to below 1 for the same seed (mulberry32). */
export function randomFrom(seed: number): Random {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** The time to the next random event, exponentially distributed with this mean. */
export function exponential(random: Random, mean: number): number {
  return -mean * Math.log(1 - random())
}

/** The number of random events in a time in which `mean` of them are expected. */
export function poisson(random: Random, mean: number): number {
  return mean < 10 ? poissonByProduct(random, mean) : poissonByRejection(random, mean)
}

/**
 * Counts the uniform numbers that it takes for their product to be below e^−mean (Knuth, The Art of Computer
 * Programming 2, 3.4.1).
 */
function poissonByProduct(random: Random, mean: number): number {
  const end = Math.exp(-mean)
  let count = 0
  for (let product = random(); product > end; product *= random()) count++
  return count
}

/**
 * Transformed rejection (W. Hörmann, The transformed rejection method for generating Poisson random variables, 1993:
 * PTRS).
 */
function poissonByRejection(random: Random, mean: number): number {
  const b = 0.931 + 2.53 * Math.sqrt(mean)
  const a = -0.059 + 0.02483 * b
  for (;;) {
    const u = random() - 0.5
    const v = 1 - random()
    const side = 0.5 - Math.abs(u)
    const count = Math.floor(((2 * a) / side + b) * u + mean + 0.43)
    if (side >= 0.07 && v <= 0.9277 - 3.6224 / (b - 2)) return count
    if (count < 0 || (side < 0.013 && v > side)) continue
    const accepted = Math.log((v * (1.1239 + 1.1328 / (b - 3.4))) / (a / (side * side) + b))
    if (accepted <= -mean + count * Math.log(mean) - logFactorial(count)) return count
  }
}

/** ln(n!), by Stirling's series above 15; the rest of the series is below 1e-10 there. */
function logFactorial(n: number): number {
  if (n > 15)
    return (
      (n + 0.5) * Math.log(n) -
      n +
      0.5 * Math.log(2 * Math.PI) +
      1 / (12 * n) -
      1 / (360 * n ** 3) +
      1 / (1260 * n ** 5)
    )
  let sum = 0
  for (let i = 2; i <= n; i++) sum += Math.log(i)
  return sum
}
