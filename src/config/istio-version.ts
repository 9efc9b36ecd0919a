// Reads the Istio version: one version, a range, or `latest`, from the config or from a file that other tools share.
import { basename } from 'node:path'
import { clean, validRange } from 'semver'
import { parse, TomlError } from 'smol-toml'
import { decodeText } from './read.ts'
import { shownValue } from './shown.ts'

export const defaultVersion = '1.31.0'
export const versionForm = 'a version of Istio such as 1.31.0, 1.31, 1.31.x, ">=1.30 <1.32" or latest'

/** The version without its `v`, the range as written, or `latest`; undefined for anything else. */
export function versionSpec(raw: unknown): string | undefined {
  // YAML reads 1.30 as the number 1.3.
  if (typeof raw !== 'string') return undefined
  const text = raw.trim()
  if (/^latest$/i.test(text)) return 'latest'
  return /\d/.test(text) ? (clean(text) ?? (validRange(text) === null ? undefined : text)) : undefined
}

/** The names of istioctl in asdf, mise and similar tools. mise puts the backend first: `aqua:istio/istioctl`. */
const isIstioctl = (name: string) => /^(.*[:/])?(istioctl|istio)$/.test(name)

/** Reads the version from a file. `fault` says why there is none. */
export function versionIn(file: string): { version: string } | { fault: string } {
  const text = decodeText(file)
  if (typeof text !== 'string') return { fault: `the file ${text.fault}` }
  const found = parserOf(file)(text)
  if (typeof found === 'object') return found
  const version = versionSpec(found)
  return version === undefined ? { fault: `the file says ${shownFound(found)}; expected ${versionForm}` } : { version }
}

/** A file that should hold a version may hold a secret. */
function shownFound(found: string): string {
  return shownValue(found, /^[-v\d.x*<>=~^|\s]{1,40}$/.test(found))
}

type Found = string | { fault: string }

function parserOf(file: string): (text: string) => Found {
  if (file.endsWith('.toml')) return fromToml
  return basename(file) === '.tool-versions' ? fromToolVersions : fromPlainText
}

const lines = (text: string) =>
  text
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter(Boolean)

function fromPlainText(text: string): Found {
  const [version, ...rest] = lines(text)
  return version !== undefined && rest.length === 0
    ? version
    : { fault: `the file has ${lines(text).length} lines with content; expected one line with a version` }
}

/** asdf: each line has a tool and its versions; the first version counts. */
function fromToolVersions(text: string): Found {
  const [, version] =
    lines(text)
      .map((line) => line.split(/\s+/))
      .find(([name = '']) => isIstioctl(name)) ?? []
  return version ?? { fault: 'the file has no line for istioctl; add one such as `istioctl 1.31.0`' }
}

/** mise: a version, a list whose first version counts, or a map with the key `version`. */
function fromToml(text: string): Found {
  try {
    const { tools = {} } = parse(text) as { tools?: Record<string, unknown> }
    const [, value] = Object.entries(tools).find(([name]) => isIstioctl(name)) ?? []
    const first: unknown = Array.isArray(value) ? value[0] : value
    const version = typeof first === 'object' && first !== null ? (first as { version?: unknown }).version : first
    return typeof version === 'string' ? version : { fault: 'the file has no `istioctl = "…"` under [tools]; add it' }
  } catch (error) {
    // The parser's own message quotes the file.
    const at = error instanceof TomlError ? ` (line ${error.line})` : ''
    return { fault: `the file is not valid TOML${at}` }
  }
}
