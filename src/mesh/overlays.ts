// Reads the IstioOperator files and `--set` values of the config as far as the run needs them before istioctl does.
import { ConfigError } from '../config/error.ts'
import { readText } from '../config/read.ts'
import { YamlError } from '../yaml/faults.ts'
import { parse } from '../yaml/parse.ts'

export type Overlay = { file: string; content: string; spec: unknown }

/** @throws ConfigError when a file cannot be read, or is not YAML. */
export function readOverlays(files: readonly string[]): Overlay[] {
  return files.map((file) => {
    const content = readText('istio.overlays', file)
    try {
      return { file, content, spec: (parse(content).value as { spec?: unknown } | null)?.spec }
    } catch (error) {
      if (error instanceof YamlError)
        throw new ConfigError(
          `istio.overlays: the file ${file}:${error.line} is not one YAML document: ${error.reason}`,
        )
      throw error
    }
  })
}

/**
 * Looks up a value of the IstioOperator's `spec` by its dotted key. As in istioctl the last one wins, and `set` wins
 * over files.
 */
export function valuesIn(set: readonly string[], overlays: readonly Overlay[]): (key: string) => string | undefined {
  return (key) => {
    const pair = set.findLast((each) => each.startsWith(`${key}=`))
    if (pair !== undefined) return pair.slice(key.length + 1)
    const values = overlays.map(({ spec }) => valueAt(spec, key))
    const value = values.findLast((each) => each !== undefined && each !== null)
    return value === undefined || typeof value === 'string' ? value : JSON.stringify(value)
  }
}

function valueAt(spec: unknown, key: string): unknown {
  return key
    .split('.')
    .reduce<unknown>((parent, part) => (parent as Record<string, unknown> | null | undefined)?.[part], spec)
}
