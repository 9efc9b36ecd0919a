// Makes source maps small enough for dist/: they keep file and line of this project's code, but only the names of
// packages.
import { decode, encode, type SourceMapSegment } from '@jridgewell/sourcemap-codec'

/**
 * A few hundred kilobytes instead of several megabytes; paths are relative to the repository, so every machine builds
 * the same.
 */
export function shrinkSourceMap(text: string): string {
  const { sources: paths, mappings } = JSON.parse(text) as { sources: string[]; mappings: string }
  const names = paths.map(sourceName)
  const sources = [...new Set(names)]
  const shrunk = decode(mappings).map((segments) => {
    let last = ''
    return segments.flatMap((segment): SourceMapSegment[] => {
      if (segment.length === 1) return []
      const [column, source, line] = segment
      const name = names[source]!
      const at = name.startsWith(packages) ? 0 : line
      if (last === `${name}:${at}`) return []
      last = `${name}:${at}`
      return [[column, sources.indexOf(name), at, 0]]
    })
  })
  return `${JSON.stringify({ version: 3, sources, names: [], mappings: encode(shrunk) })}\n`
}

const packages = 'node_modules/'

/** `../src/run.ts` → `src/run.ts`; `../node_modules/zod/v4/core/api.js` → `node_modules/zod`. */
function sourceName(path: string): string {
  return /node_modules\/(?:@[^/]+\/)?[^/]+(?!.*node_modules\/)/.exec(path)?.[0] ?? path.replace(/^(\.\.\/)+/, '')
}
