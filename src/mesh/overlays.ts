// What IstioOperator files and `--set` values say together, as far as it must be known before istioctl reads them.
import { ConfigError } from '../config/error.ts'
import { readText } from '../config/read.ts'
import { YamlError } from '../yaml/faults.ts'
import { parse } from '../yaml/parse.ts'

export type Overlay = { file: string; content: string; spec: unknown }

/** @throws ConfigError when one cannot be read, or is not YAML. */
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

/** Asks for a value of the IstioOperator's `spec` by its dotted key, as istioctl merges: the last wins, and `--set` over files. */
export function valuesIn(set: readonly string[], overlays: readonly Overlay[]): (key: string) => string | undefined {
  return (key) => {
    const pair = set.findLast((each) => each.startsWith(`${key}=`))
    if (pair !== undefined) return pair.slice(key.length + 1)
    const values = overlays.map(({ spec }) =>
      key
        .split('.')
        .reduce<unknown>((parent, part) => (parent as Record<string, unknown> | null | undefined)?.[part], spec),
    )
    const value = values.findLast((each) => each !== undefined && each !== null)
    return value === undefined ? undefined : typeof value === 'string' ? value : JSON.stringify(value)
  }
}
