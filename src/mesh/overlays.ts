// What IstioOperator files and `--set` values say together, as far as it must be known before istioctl reads them.
import { parse } from 'yaml'
import { ConfigError } from '../config/error.ts'
import { readText } from '../config/read.ts'

export type Overlay = { file: string; content: string; spec: unknown }

/** @throws ConfigError when one cannot be read, or is not YAML. */
export function readOverlays(files: readonly string[]): Overlay[] {
  return files.map((file) => {
    const content = readText('istio.overlays', file)
    try {
      return { file, content, spec: (parse(content) as { spec?: unknown } | null)?.spec }
    } catch (error) {
      throw new ConfigError(
        `istio.overlays: the file ${file} is not one YAML document: ${(error as Error).message.split('\n')[0]}`,
      )
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
