// Outputs as lines of `NAME=value`, in the form that GitLab reads (`artifacts:reports:dotenv`). Pure.

/** GitLab accepts 5 kB in total. */
const maxValueLength = 1_000

/** One line for each output, without quotes. Not for a shell to run: a reason may contain any character. */
export function dotenv(outputs: Record<string, string | number | boolean>): string {
  return Object.entries(outputs)
    .map(([name, value]) => {
      const oneLine = String(value).replace(/\s+/g, ' ').trim()
      return `${outputVariable(name)}=${oneLine.slice(0, maxValueLength)}\n`
    })
    .join('')
}

/** MESH_VERDICT, MESH_VERSION. Not MESH_CANARY_…, because those variables are inputs of the next run. */
function outputVariable(output: string): string {
  return `MESH_${output
    .replace(/^mesh-/, '')
    .toUpperCase()
    .replaceAll('-', '_')}`
}
