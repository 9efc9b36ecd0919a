// Shows the progress and the duration of a build: a single updated line on a terminal, plain lines elsewhere.

export type Report = (text: string) => void

interface Running {
  readonly title: string
  readonly since: number
  detail: string
  printed: number
}

const plainEveryMs = 15_000
const running = new Set<Running>()

/** Runs one step of the build under a title. The step reports its details as it proceeds. Steps may overlap. */
export async function step<T>(title: string, work: (report: Report) => Promise<T>): Promise<T> {
  const state: Running = { title, since: Date.now(), detail: '', printed: 0 }
  const ticker = setInterval(show, 1000, state)
  running.add(state)
  show(state)
  try {
    const result = await work((detail) => void ((state.detail = detail), show(state)))
    print(`${line(state)} ✓`)
    return result
  } finally {
    clearInterval(ticker)
    running.delete(state)
  }
}

function show(state: Running): void {
  if (process.stderr.isTTY) return redraw()
  if (Date.now() - state.printed < plainEveryMs) return
  state.printed = Date.now()
  console.error(line(state))
}

function redraw(): void {
  const text = [...running].map(line).join(' · ')
  process.stderr.write(`\r\x1b[K${text.slice(0, process.stderr.columns - 1)}`)
}

function print(text: string): void {
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
  console.error(text)
}

function line({ title, detail, since }: Running): string {
  return [title, detail, elapsed(Date.now() - since)].filter(Boolean).join(' ')
}

function elapsed(ms: number): string {
  const seconds = Math.round(ms / 1000)
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`
}
