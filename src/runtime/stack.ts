// Stack traces of the minified bundles with the file and line of the source. Loads source maps only to print a stack.
import { existsSync, readFileSync } from 'node:fs'
import { SourceMap, type SourceMapPayload } from 'node:module'
import { fileURLToPath } from 'node:url'

/** The stack of an error and its causes. A frame without a source map stays unchanged. */
export function readableStack(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const maps = new Map<string, SourceMap | undefined>()
  const stack = (error.stack ?? error.message).replace(
    /^( +at ).*?(file:\S+?):(\d+):(\d+)\)?$/gm,
    (frame: string, at: string, url: string, line: string, column: string) => {
      if (!maps.has(url)) maps.set(url, mapOf(url))
      const origin = maps.get(url)?.findOrigin(Number(line), Number(column))
      if (!origin || !('fileName' in origin)) return frame
      // For a package the map has its name alone, so the place in the bundle stays.
      return origin.fileName.startsWith('node_modules/')
        ? `${at}${origin.fileName} (${url}:${line}:${column})`
        : `${at}${origin.fileName}:${origin.lineNumber}`
    },
  )
  return error.cause === undefined ? stack : `${stack}\ncaused by: ${readableStack(error.cause)}`
}

/** The map is next to its bundle. Undefined without a map, as in a run from source. */
function mapOf(url: string): SourceMap | undefined {
  const file = `${fileURLToPath(url)}.map`
  return existsSync(file) ? new SourceMap(JSON.parse(readFileSync(file, 'utf8')) as SourceMapPayload) : undefined
}
