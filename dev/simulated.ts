// The chances of the sample app's plan, for docs/promotion.md: what `mesh-canary simulate` prints and draws for it.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { between } from './reference.ts'

const args = ['simulate', '--config', 'examples/sample-app/mesh.yaml', '--rate', '50']

let results: { printed: string; chart: string } | undefined

function simulated(): { printed: string; chart: string } {
  if (results) return results
  const folder = mkdtempSync(join(tmpdir(), 'mesh-canary-simulated-'))
  const chart = join(folder, 'chart.svg')
  try {
    const printed = execFileSync(process.execPath, ['src/cli.ts', ...args, '--chart', chart], { encoding: 'utf8' })
    results = { printed, chart: readFileSync(chart, 'utf8') }
  } finally {
    rmSync(folder, { recursive: true })
  }
  return results
}

export function promotionPage(): string {
  const text = `\`\`\`text\n$ mesh-canary ${args.join(' ')}\n${simulated().printed.trimEnd()}\n\`\`\``
  return between(readFileSync('docs/promotion.md', 'utf8'), 'simulate', text)
}

export function simulatedPicture(): { file: string; text: string } {
  return { file: 'docs/simulate.svg', text: simulated().chart }
}
