// Reads the selectors of Calico's policies, such as `app == 'till' && tier in {'web'}`. Pure.
// Syntax: https://docs.tigera.io/calico/latest/reference/resources/networkpolicy#selectors
import type { Labels } from '../canary/workload/selectors.ts'

/** Undefined if that depends on a label that only Calico knows. */
type Test = (labels: Labels) => boolean | undefined

/** Undefined if it cannot be told. An empty selector selects everything. */
export function selectsByCalico(selector: string, labels: Labels): boolean | undefined {
  const tokens = tokensOf(selector)
  if (!tokens) return undefined
  if (tokens.length === 0) return true
  try {
    const test = parseOr(tokens)
    return tokens.length === 0 ? test(labels) : undefined
  } catch (problem) {
    if (problem instanceof Unreadable) return undefined
    throw problem
  }
}

class Unreadable extends Error {}

const token = /\s*(&&|\|\||==|!=|[!(){},]|"[^"]*"|'[^']*'|[\w./-]+)/y

function tokensOf(text: string): string[] | undefined {
  const found: string[] = []
  const trimmed = text.trimEnd()
  token.lastIndex = 0
  while (token.lastIndex < trimmed.length) {
    const match = token.exec(trimmed)
    if (!match) return undefined
    found.push(match[1]!)
  }
  return found
}

/** Each of these takes what it reads from the front of the tokens. */
function parseOr(tokens: string[]): Test {
  const first = parseAnd(tokens)
  if (!skip(tokens, '||')) return first
  const second = parseOr(tokens)
  return not((labels) => and(not(first)(labels), not(second)(labels)))
}

function parseAnd(tokens: string[]): Test {
  const first = parseNot(tokens)
  if (!skip(tokens, '&&')) return first
  const second = parseAnd(tokens)
  return (labels) => and(first(labels), second(labels))
}

function parseNot(tokens: string[]): Test {
  if (skip(tokens, '!')) return not(parseNot(tokens))
  if (!skip(tokens, '(')) return parseTest(tokens)
  const test = parseOr(tokens)
  expect(tokens, ')')
  return test
}

function not(test: Test): Test {
  return (labels) => {
    const result = test(labels)
    return result === undefined ? undefined : !result
  }
}

function and(first: boolean | undefined, second: boolean | undefined): boolean | undefined {
  return first === false || second === false ? false : first && second
}

/** Calico adds labels to the pods, such as those of their namespace and of their service account. */
const ofCalico = /^(pcns\.|pcsa\.|projectcalico\.org\/)/

function ofLabel(key: string, test: (value: string | undefined) => boolean): Test {
  return ({ [key]: value }) => (value === undefined && ofCalico.test(key) ? undefined : test(value))
}

function parseTest(tokens: string[]): Test {
  const name = tokens.shift() ?? ''
  if (!/^[\w./-]+$/.test(name)) throw new Unreadable()
  if (skip(tokens, '(')) {
    const key = name === 'has' ? tokens.shift()! : ''
    expect(tokens, ')')
    if (name === 'has') return ofLabel(key, (value) => value !== undefined)
    if (name === 'all' || name === 'global') return () => true
    throw new Unreadable()
  }
  return ofLabel(name, parseComparison(tokens))
}

function parseComparison(tokens: string[]): (value: string | undefined) => boolean {
  const operator = tokens.shift()
  if (operator === '==' || operator === '!=') {
    const expected = parseText(tokens)
    return (value) => (value === expected) === (operator === '==')
  }
  if (operator === 'contains') {
    const part = parseText(tokens)
    return (value) => value?.includes(part) ?? false
  }
  if (operator === 'starts' || operator === 'ends') {
    expect(tokens, 'with')
    const part = parseText(tokens)
    return (value) => (operator === 'starts' ? value?.startsWith(part) : value?.endsWith(part)) ?? false
  }
  if (operator === 'not') expect(tokens, 'in')
  else if (operator !== 'in') throw new Unreadable()
  const values = parseSet(tokens)
  return (value) => values.includes(value ?? '') === (operator === 'in')
}

function parseSet(tokens: string[]): string[] {
  const values: string[] = []
  expect(tokens, '{')
  while (!skip(tokens, '}')) {
    values.push(parseText(tokens))
    if (tokens[0] !== '}') expect(tokens, ',')
  }
  return values
}

function parseText(tokens: string[]): string {
  const quoted = tokens.shift() ?? ''
  if (!/^["']/.test(quoted)) throw new Unreadable()
  return quoted.slice(1, -1)
}

function skip(tokens: string[], expected: string): boolean {
  if (tokens[0] !== expected) return false
  tokens.shift()
  return true
}

function expect(tokens: string[], expected: string): void {
  if (!skip(tokens, expected)) throw new Unreadable()
}
