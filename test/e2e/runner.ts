// Runs the built action as GitHub's runner does: with INPUT_ variables and the runner's files, first main and then
// post.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Report } from '../../src/report/report.ts'

export type Inputs = Record<string, string>
export type ActionRun = {
  code: number
  log: string
  outputs: Record<string, string>
  state: Record<string, string>
  /** Folders that the action put on the PATH of later steps. */
  path: string[]
  summary: string
  report: Report | undefined
}

export type RunnerOptions = {
  /** Puts a command line into the mesh's network. */
  enter?: (argv: readonly string[]) => string[]
  env?: Record<string, string>
  onLine?: (line: string) => void
  /** Called when the process runs. `kill` sends it a signal. */
  onStart?: (pid: number, kill: (signal: NodeJS.Signals) => void) => void
}

/** The logs of the action's runs in the current test, oldest first. */
export const logsOfThisTest: string[] = []

const bundle = resolve(import.meta.dirname, '../../dist/index.js')

/** A runner machine. It keeps its tool cache and its temporary folder from one run to the next. */
export function runner(options: RunnerOptions = {}) {
  const home = mkdtempSync(join(tmpdir(), 'mesh-canary-runner-'))
  const env = {
    GITHUB_REPOSITORY: 'example/shop',
    ...process.env,
    ...options.env,
    RUNNER_TEMP: join(home, 'temp'),
    RUNNER_TOOL_CACHE: join(home, 'tools'),
    GITHUB_ACTIONS: 'true',
  }
  for (const folder of [env.RUNNER_TEMP, env.RUNNER_TOOL_CACHE]) mkdirSync(folder)

  const step = async (inputs: Inputs, state: Record<string, string>, overrides: RunnerOptions): Promise<ActionRun> => {
    const files = mkdtempSync(join(home, 'step-'))
    const file = (name: string) => join(files, name)
    const names = {
      GITHUB_OUTPUT: file('output'),
      GITHUB_STATE: file('state'),
      GITHUB_ENV: file('env'),
      GITHUB_PATH: file('path'),
      GITHUB_STEP_SUMMARY: file('summary'),
    }
    for (const name of Object.values(names)) writeFileSync(name, '')
    const inputVariables = Object.fromEntries(
      Object.entries(inputs).map(([name, value]) => [`INPUT_${name.toUpperCase()}`, value]),
    )
    const stateVariables = Object.fromEntries(Object.entries(state).map(([name, value]) => [`STATE_${name}`, value]))
    const argv = [process.execPath, bundle]
    const { code, log } = await execute(
      (options.enter ?? ((same) => [...same]))(argv),
      { ...env, ...overrides.env, ...names, ...inputVariables, ...stateVariables },
      { ...options, ...overrides },
    )
    const outputs = variables(readFileSync(names.GITHUB_OUTPUT, 'utf8'))
    const reportFile = outputs['report']
    return {
      code,
      log,
      outputs,
      state: variables(readFileSync(names.GITHUB_STATE, 'utf8')),
      path: readFileSync(names.GITHUB_PATH, 'utf8').split('\n').filter(Boolean),
      summary: readFileSync(names.GITHUB_STEP_SUMMARY, 'utf8'),
      report:
        reportFile && existsSync(reportFile) ? (JSON.parse(readFileSync(reportFile, 'utf8')) as Report) : undefined,
    }
  }

  return {
    home,
    /** Writes a file there, and returns its path. */
    file: (name: string, text: string): string => {
      const path = join(home, name)
      writeFileSync(path, text)
      return path
    },
    main: (inputs: Inputs, overrides: RunnerOptions = {}) => step(inputs, {}, overrides),
    post: (inputs: Inputs, state: Record<string, string>, overrides: RunnerOptions = {}) =>
      step(inputs, state, overrides),
    /** Runs main and then post, as in a job. */
    run: async (inputs: Inputs, overrides: RunnerOptions = {}) => {
      const main = await step(inputs, {}, overrides)
      const post = await step(inputs, main.state, overrides)
      return { ...main, post }
    },
    remove: () => rmSync(home, { recursive: true, force: true }),
  }
}

/** The format of the runner's files: `name<<delimiter`, the lines of the value, the delimiter. */
function variables(text: string): Record<string, string> {
  const found = [...text.matchAll(/^(.+?)<<(.+)\r?\n([\s\S]*?)\r?\n\2$/gm)]
  return Object.fromEntries(found.map(([, name = '', , value = '']) => [name, value]))
}

function execute(
  [program = '', ...args]: string[],
  env: NodeJS.ProcessEnv,
  { onLine, onStart }: RunnerOptions,
): Promise<{ code: number; log: string }> {
  return new Promise((done, fail) => {
    const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    let log = ''
    let partialLine = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        log += chunk
        const lines = (partialLine + chunk).split('\n')
        partialLine = lines.pop() ?? ''
        lines.forEach((line) => onLine?.(line))
      })
    }
    child.once('error', fail)
    child.once('spawn', () => onStart?.(child.pid!, (signal) => child.kill(signal)))
    child.once('close', (code) => {
      // The runner keeps these commands to itself: they hold the secrets.
      const shown = log.replace(/^::add-mask::.*\n/gm, '')
      if (shown !== '') logsOfThisTest.push(shown)
      done({ code: code ?? 1, log: shown })
    })
  })
}
