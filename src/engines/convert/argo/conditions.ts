// The conditions of a metric as bounds, and back. A condition is an expression; comparisons of the result with numbers have
// a counterpart.

export type Bounds = { min?: number; max?: number }

/** `isExact`: false if the condition excludes a bound, or says what happens without a result. */
export type Condition = { bounds: Bounds; isExact: boolean }

const number = String.raw`[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?`
const result = String.raw`(?:asFloat\()?result(?:\[0\])?\)?`
const comparison = new RegExp(`^${result}\\s*(>=|<=|>|<)\\s*(${number})$`)
const turned = new RegExp(`^(${number})\\s*(>=|<=|>|<)\\s*${result}$`)
/** Passes without a result. Here that is no evidence. */
const withoutResult = /^(?:(?:len\(result\)\s*==\s*0|result\s*==\s*nil|isNaN\(result(?:\[0\])?\))\s*\|\|\s*)+/

const opposite: Record<string, string> = { '>=': '<=', '<=': '>=', '>': '<', '<': '>' }

/** Bounds that hold where the condition does; undefined for any other expression. */
export function boundsOf(text: string): Condition | undefined {
  const condition = text.trim()
  const rest = condition
    .replace(withoutResult, '')
    .trim()
    .replace(/^\((.*)\)$/, '$1')
  const parts = rest.split('&&').map((part) => comparisonOf(part.trim()))
  const bounds: Bounds = {}
  let isExact = rest === condition
  for (const part of parts) {
    if (!part) return undefined
    const key = part.operator.startsWith('>') ? 'min' : 'max'
    if (bounds[key] !== undefined) return undefined
    bounds[key] = part.value
    isExact &&= part.operator.length === 2
  }
  return { bounds, isExact }
}

function comparisonOf(text: string): { operator: string; value: number } | undefined {
  const [, operator, value] = comparison.exec(text) ?? []
  if (operator !== undefined) return { operator, value: Number(value) }
  const [, first, other] = turned.exec(text) ?? []
  return other === undefined ? undefined : { operator: opposite[other]!, value: Number(first) }
}

/** The bounds that hold where a single comparison does not. */
export function boundsAgainst(text: string): Condition | undefined {
  const found = comparisonOf(text.trim())
  if (!found) return undefined
  const { operator, value } = found
  const bounds = operator.startsWith('>') ? { max: value } : { min: value }
  return { bounds, isExact: operator.length === 1 }
}

/** As a condition on the first number of the result. */
export function conditionOf({ min, max }: Bounds): string {
  return [
    ...(min === undefined ? [] : [`result[0] >= ${min}`]),
    ...(max === undefined ? [] : [`result[0] <= ${max}`]),
  ].join(' && ')
}
