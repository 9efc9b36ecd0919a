// Checks whether JSON pointers and jq path expressions together cover every weight that a promotion may write. Pure.
import type { KubeObject } from '../../cluster/objects.ts'

/** Keys and indices from the root of the object. In a pattern, `anyIndex` stands for every index. */
type Path = readonly string[]
const anyIndex = Symbol('any index')
type Pattern = readonly (string | typeof anyIndex)[]

export function ignoresWeights(object: KubeObject, jsonPointers: string[], jqExpressions: string[]): boolean {
  const patterns = [...jsonPointers.map(parsePointer), ...jqExpressions.map(parseJqPath)]
  return weightPaths(object).every((path) => patterns.some((pattern) => pattern && covers(pattern, path)))
}

function covers(pattern: Pattern, path: Path): boolean {
  return pattern.length <= path.length && pattern.every((step, i) => step === anyIndex || step === path[i])
}

/** The list of destinations in a route, by the section of the spec that the route is in. */
const destinationLists = { http: 'route', tcp: 'route', tls: 'route', rules: 'backendRefs' }

/** Includes the weights that are not written yet. A route with a single destination has none. */
function weightPaths(object: KubeObject & { spec?: Record<string, unknown> }): Path[] {
  return Object.entries(destinationLists).flatMap(([section, list]) => {
    const routes = (object.spec?.[section] ?? []) as Record<string, unknown[] | undefined>[]
    return routes.flatMap((route, i) => {
      const destinations = route[list] ?? []
      if (destinations.length < 2) return []
      return destinations.map((_, j) => ['spec', section, String(i), list, String(j), 'weight'])
    })
  })
}

/** No key on the way to a weight needs the escapes of a JSON pointer. */
function parsePointer(pointer: string): Pattern | undefined {
  return pointer.startsWith('/') ? pointer.slice(1).split('/') : undefined
}

/** One step of a jq path: `[]` or `[0]`, `["key"]`, or `.key`; each may end with `?`. */
const jqStep = /\.?\[(?<index>\d*)\]\??|\.?\["(?<quoted>[^"]+)"\]\??|\.(?<key>[A-Za-z_]\w*)\??/g

/**
 * Reads a jq expression that is a path, such as `.spec.http[].route[].weight`. A `select` in it is taken to match.
 * Any other expression gives undefined, which covers nothing.
 */
function parseJqPath(expression: string): Pattern | undefined {
  const path = expression
    .replaceAll(/\bselect\([^()]*\)/g, '')
    .split('|')
    .map((part) => part.trim())
    .filter((part) => part !== '.')
    .join('')
  const steps = [...path.matchAll(jqStep)]
  const isPath = steps.length > 0 && steps.map(([text]) => text).join('') === path
  if (!isPath) return undefined
  return steps.map(({ groups = {} }) => groups['key'] ?? groups['quoted'] ?? (groups['index'] || anyIndex))
}
