// The script and the style sheet of the page, as dev/build.ts made them from client/.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export type Assets = { script: string; style: string }

/** From the folder of this bundle. @throws Error if they are not there */
export function readAssets(folder = import.meta.dirname): Assets {
  const read = (file: string) => readFileSync(join(folder, file), 'utf8').trim()
  return { script: read('report-page.mjs'), style: read('report-page.css') }
}
