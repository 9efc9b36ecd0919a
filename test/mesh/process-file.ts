// Remembers a process in a file, so that a later command finds it.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'

export function saveProcess(file: string, pid: number): void {
  writeFileSync(file, JSON.stringify({ pid, started: startTime(pid) }))
}

/** The process id, if the process still runs. Its start time rules out a later process with the same id. */
export function runningPid(file: string): number | undefined {
  if (!existsSync(file)) return undefined
  const { pid, started } = JSON.parse(readFileSync(file, 'utf8')) as { pid: number; started: string | undefined }
  return started !== undefined && startTime(pid) === started ? pid : undefined
}

/** The start time in clock ticks since boot: field 22, counted after the name, because the name may contain spaces. */
function startTime(pid: number): string | undefined {
  const file = `/proc/${pid}/stat`
  return existsSync(file) ? readFileSync(file, 'utf8').split(') ').at(-1)?.split(' ')[19] : undefined
}
