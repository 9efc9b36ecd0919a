// Outputs as lines of `NAME=value`, as GitLab reads them (`artifacts:reports:dotenv`). Pure.

/** GitLab takes 5 kB in all. */
const longest = 1_000

/** No quotes, one line each: what it is not is a shell script, for a reason may hold any sign. */
export function dotenv(outputs: Record<string, string | number | boolean>): string {
  return Object.entries(outputs)
    .map(([name, value]) => `${variable(name)}=${String(value).replace(/\s+/g, ' ').trim().slice(0, longest)}\n`)
    .join('')
}

/** MESH_VERDICT, MESH_VERSION. Not MESH_CANARY_…: those are inputs of the next run. */
function variable(output: string): string {
  return `MESH_${output
    .replace(/^mesh-/, '')
    .toUpperCase()
    .replaceAll('-', '_')}`
}
