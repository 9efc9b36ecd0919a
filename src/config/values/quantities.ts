// Amounts of CPU and memory as Kubernetes writes them.
import { parsedValue } from './parsed-value.ts'
import { publicValue } from './public-value.ts'

const mebi = 1024 ** 2

const scale: Record<string, number> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 1024,
  Mi: mebi,
  Gi: 1024 ** 3,
  Ti: 1024 ** 4,
  Pi: 1024 ** 5,
}

/** Parses a Kubernetes quantity: `100m`, `1.5`, `2Gi`, `1e3`. Returns 0 for an absent or invalid one. */
export function quantity(written: string | undefined): number {
  const [, amount, suffix = ''] = /^(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)([numkMGTP]?|[KMGTP]i)$/.exec(written ?? '') ?? []
  return amount === undefined ? 0 : Number(amount) * scale[suffix]!
}

/** YAML reads `cpu: 1` as a number. */
export const positiveQuantity = parsedValue(
  'a quantity such as 100m or 64Mi',
  { type: ['string', 'number'], ...publicValue },
  (raw) => {
    const written = typeof raw === 'string' || typeof raw === 'number' ? String(raw).trim() : ''
    return quantity(written) > 0 ? written : undefined
  },
)
