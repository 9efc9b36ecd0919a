// The machine that a run is on, a runner or a laptop: its temporary folder, the guard's bundle, the run's name.
import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

export function tempDir(): string {
  return process.env['RUNNER_TEMP'] ?? tmpdir()
}

/** The guard's bundle is in the same folder as the program's. `npx` starts the program through a link. */
export function readGuardProgram(): string {
  return readFileSync(join(dirname(realpathSync(process.argv[1]!)), 'guard.mjs'), 'utf8')
}

/** The version of this program, by the nearest package.json that states one; that in dist/ does not. */
export function programVersion(folder = import.meta.dirname): string | undefined {
  const file = join(folder, 'package.json')
  const { version } = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as { version?: string }) : {}
  const parent = dirname(folder)
  return version === undefined && parent !== folder ? programVersion(parent) : version
}

/** The job of the CI that this run is in; on GitLab with its place in a matrix, which GitHub does not say. */
export function jobName(env: NodeJS.ProcessEnv = process.env): string | undefined {
  return env['GITHUB_JOB'] || env['CI_JOB_NAME'] || undefined
}

/** The address of this run's page; undefined outside of a CI. */
export function runPage(env: NodeJS.ProcessEnv = process.env): string | undefined {
  const name = runName(env)
  return name.startsWith('http') ? name : undefined
}

/** The address of this run's page on GitHub, GitLab, Jenkins or CircleCI; elsewhere the process and its machine. */
export function runName(env: NodeJS.ProcessEnv = process.env): string {
  const {
    GITHUB_SERVER_URL: server,
    GITHUB_REPOSITORY: repository,
    GITHUB_RUN_ID: id,
    GITHUB_RUN_ATTEMPT: attempt = '1',
  } = env
  if (server && repository && id) return `${server}/${repository}/actions/runs/${id}/attempts/${attempt}`
  return env['CI_JOB_URL'] || env['BUILD_URL'] || env['CIRCLE_BUILD_URL'] || `process ${process.pid} on ${hostname()}`
}
