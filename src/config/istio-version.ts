// Which Istio is asked for: one version, a range, or `latest`, said in the config or in a file that other tools read as well.
import { basename } from 'node:path'
import { clean, validRange } from 'semver'
import { parse } from 'smol-toml'
import { decodeText } from './read.ts'

export const defaultVersion = '1.31.0'
export const versionForm = 'a version of Istio such as 1.31.0, 1.31, 1.31.x, ">=1.30 <1.32" or latest'

/** The version without its `v`, the range as it was written, or `latest`; undefined for what is none of these. */
export function versionSpec(raw: unknown): string | undefined {
  // YAML reads 1.30 as the number 1.3.
  if (typeof raw !== 'string') return undefined
  const text = raw.trim()
  if (/^latest$/i.test(text)) return 'latest'
  return /\d/.test(text) ? (clean(text) ?? (validRange(text) === null ? undefined : text)) : undefined
}

/** Names under which asdf, mise and their like know istioctl; mise puts where it comes from before it: `aqua:istio/istioctl`. */
const isOurs = (name: string) => /^(.*[:/])?(istioctl|istio)$/.test(name)

/** A sentence instead of a version when there is none. */
export function versionIn(file: string): { version: string } | { fault: string } {
  const text = decodeText(file)
  if (typeof text !== 'string') return { fault: `the file ${text.fault}` }
  const found = file.endsWith('.toml')
    ? inToml(text)
    : basename(file) === '.tool-versions'
      ? inLines(text)
      : plain(text)
  if (typeof found === 'object') return found
  const version = versionSpec(found)
  return version === undefined
    ? { fault: `it says ${JSON.stringify(found)}, where ${versionForm} was expected` }
    : { version }
}

type Found = string | { fault: string }

const lines = (text: string) =>
  text
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter(Boolean)

function plain(text: string): Found {
  const [version, ...rest] = lines(text)
  return version !== undefined && rest.length === 0
    ? version
    : { fault: `it has ${lines(text).length} lines that say something, where one with a version was expected` }
}

/** asdf: a tool and its versions a line, the first of which counts. */
function inLines(text: string): Found {
  const [, version] =
    lines(text)
      .map((line) => line.split(/\s+/))
      .find(([name = '']) => isOurs(name)) ?? []
  return version ?? { fault: 'it has no line for istioctl, such as `istioctl 1.31.0`' }
}

/** mise: a version, several of which the first counts, or a map with one. */
function inToml(text: string): Found {
  try {
    const { tools = {} } = parse(text) as { tools?: Record<string, unknown> }
    const [, said] = Object.entries(tools).find(([name]) => isOurs(name)) ?? []
    const first: unknown = Array.isArray(said) ? said[0] : said
    const version = typeof first === 'object' && first !== null ? (first as { version?: unknown }).version : first
    return typeof version === 'string' ? version : { fault: 'it has no `istioctl = "…"` under [tools]' }
  } catch (error) {
    return { fault: `it is not valid TOML: ${error instanceof Error ? error.message.split('\n')[0]! : String(error)}` }
  }
}
