// Random numbers from a seed, so that a test always has the same result.
export { randomFrom } from '../../src/simulate/random.ts'
