// Outputs as lines of `NAME=value`, in the form that GitLab reads (`artifacts:reports:dotenv`). Pure.
import { cutText } from '../runtime/cut-text.ts'

/** GitLab accepts 5 kB in total, and refuses the whole file otherwise. */
const limitBytes = 5_000
const valueLength = 1_000

/** What pipelines branch on comes first, so that it is there whatever the others need. */
const first = ['verdict', 'weight', 'experiment-verdict', 'engine-verdict', 'reason', 'changed']

/**
 * One line for each output, without quotes; ends before the limit. Not for a shell to run: a reason may contain any
 * character.
 */
export function dotenv(outputs: Record<string, string | number | boolean>): string {
  const ordered = Object.entries(outputs).toSorted(([a], [b]) => rankOf(a) - rankOf(b))
  const lines = ordered.map(([name, value]) => {
    const oneLine = String(value).replace(/\s+/g, ' ').trim()
    return `${outputVariable(name)}=${cutText(oneLine, valueLength)}\n`
  })
  let size = 0
  return lines.filter((line) => (size += Buffer.byteLength(line)) <= limitBytes).join('')
}

function rankOf(output: string): number {
  return first.includes(output) ? first.indexOf(output) : first.length
}

/** MESH_VERDICT, MESH_VERSION. Not MESH_CANARY_…, because those variables are inputs of the next run. */
function outputVariable(output: string): string {
  return `MESH_${output
    .replace(/^mesh-/, '')
    .toUpperCase()
    .replaceAll('-', '_')}`
}
