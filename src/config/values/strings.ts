// Single values that are text: words out of a list, addresses, patterns, checksums.
import { listOf } from './lists.ts'
import { parsedValue } from './parsed-value.ts'
import { publicValue } from './public-value.ts'

function parseText(raw: unknown): string | undefined {
  return typeof raw === 'string' && raw.trim() !== '' ? raw : undefined
}

export const nonEmptyString = parsedValue('a non-empty string', { type: 'string' }, parseText)

/** The path of a file. */
export const filePath = parsedValue('the path of a file', { ...publicValue, type: 'string' }, parseText)

/** What a header of a request may carry. It may be a secret. */
export const headerValue = parsedValue('one line of text', { type: 'string' }, (raw) => {
  const text = parseText(raw)?.trim() ?? ''
  return /^[\x20-\x7e]+$/.test(text) ? text : undefined
})

/** The name of an environment on GitHub. */
export const environmentName = parsedValue(
  'the name of an environment: one line of up to 255 characters',
  { ...publicValue, type: 'string' },
  (raw) =>
    typeof raw === 'string' && /^[^\p{C}]{1,255}$/u.test(raw.trim()) && raw.trim() !== '' ? raw.trim() : undefined,
)

/** One of a few words, in any case. */
export function oneOf<const W extends string>(...words: W[]) {
  return parsedValue<W>(`one of ${words.join(', ')}`, { type: 'string', enum: words }, (raw) =>
    typeof raw === 'string' ? words.find((each) => each === raw.trim().toLowerCase()) : undefined,
  )
}

/** A boolean of YAML, or the text that an input delivers. */
export const boolean = parsedValue('true or false', { type: 'boolean' }, (raw) => {
  const value = typeof raw === 'string' ? raw.trim().toLowerCase() : raw
  if (value === true || value === 'true') return true
  return value === false || value === 'false' ? false : undefined
})

/** Without slashes at its end. */
export const url = parsedValue('an http or https address', { type: 'string', format: 'uri' }, (raw) =>
  typeof raw === 'string' && /^https?:\/\//.test(raw) && URL.canParse(raw) ? raw.replace(/\/+$/, '') : undefined,
)

/** An address whose only secret may be a token of its own, and that takes the paths of an API. */
export const plainUrl = url.refine(isPlainUrl, {
  error:
    'expected an address without user name, password, query and fragment, and with a port from 1 to 65535 if it has one',
})

/** `raw` is an address; port 0 is none. An empty query or fragment would swallow a path, too. */
export function isPlainUrl(raw: string): boolean {
  const { username, password, port } = new URL(raw)
  return username === '' && password === '' && port !== '0' && !/[?#]/.test(raw)
}

export const sha256 = parsedValue(
  'a sha256 checksum: 64 hexadecimal digits',
  { ...publicValue, type: 'string', pattern: '^[0-9a-fA-F]{64}$' },
  (raw) => (typeof raw === 'string' && /^[0-9a-f]{64}$/i.test(raw.trim()) ? raw.trim().toLowerCase() : undefined),
)

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'CONNECT', 'TRACE']

function parseMethod(raw: unknown): string | undefined {
  return typeof raw === 'string' ? methods.find((each) => each === raw.trim().toUpperCase()) : undefined
}

export const httpMethod = parsedValue(
  `an HTTP method: ${methods.join(', ')}`,
  { ...publicValue, type: 'string' },
  parseMethod,
)
export const httpMethods = listOf(`HTTP methods out of ${methods.join(', ')}`, parseMethod, publicValue)

/** The beginning of a request's path. */
export const pathPrefix = parsedValue(
  'a path that begins with /',
  { ...publicValue, type: 'string', pattern: '^/' },
  (raw) => (typeof raw === 'string' && /^\/\S*$/.test(raw) ? raw : undefined),
)

/** Envoy's regular expressions (RE2) have neither lookaround nor backreferences. */
export const regex = parsedValue(
  'a regular expression in RE2 syntax, without lookaround and backreferences',
  { type: 'string', format: 'regex' },
  parseRegex,
)

export function parseRegex(raw: unknown): string | undefined {
  if (typeof raw !== 'string' || raw === '' || /\(\?<?[=!]|\\[1-9]/.test(raw)) return undefined
  try {
    new RegExp(raw)
    return raw
  } catch {
    return undefined
  }
}
