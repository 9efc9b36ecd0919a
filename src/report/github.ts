// The run on GitHub: inputs from the runner, lines and annotations to its log, outputs, summary, state for the post step.
import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import * as core from '@actions/core'
import type { Intent } from '../canary/promote.ts'
import { ConfigError } from '../config/error.ts'
import { loadConfig } from '../config/load.ts'
import { canariesOf } from '../config/names.ts'
import type { Config } from '../config/schema.ts'
import type { LeftCluster } from '../kind/kind.ts'
import type { Host } from '../stages/running.ts'
import { worst, type Report } from './report.ts'
import { summary } from './summary.ts'

/** What main leaves for post, as soon as it is known: main may be killed at any moment. `held`: it was cancelled, and what it moved is to stay. */
type Left = { temporaryFile?: string; kubeconfig?: string; context?: string; intents?: Intent[]; held?: boolean; kind?: LeftCluster }

function tempDir(): string {
  return process.env['RUNNER_TEMP'] ?? tmpdir()
}

export async function main(): Promise<void> {
  core.saveState('main', 'begun')
  const config = load()
  if (!config) return
  // Only now: most of the program need not be loaded to say that an input is wrong.
  const { run } = await import('../run.ts')
  const report = await run(config, host(config))
  publish(report, config.report ?? join(tempDir(), 'mesh-canary-report.json'))
}

function load(): Config | undefined {
  try {
    return loadConfig(process.env)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    fail(error.message, 'Input')
    return undefined
  }
}

function host(config: Config): Host {
  const left: Left = { ...(config.context === undefined ? {} : { context: config.context }) }
  const leave = (more: Left) => core.saveState('left', JSON.stringify(Object.assign(left, more)))
  const hold = canariesOf(config).every(({ onCancel }) => onCancel === 'hold')
  return {
    signal: cancelled(() => hold && leave({ held: true })),
    tempDir: tempDir(),
    run: runName(),
    guardProgram: () => readFileSync(join(dirname(process.argv[1]!), 'guard.mjs'), 'utf8'),
    info: (line) => core.info(defused(line)),
    warning: core.warning,
    group: core.group,
    mask: core.setSecret,
    istioctl: ({ folder, path, version, cacheHit }) => {
      core.addPath(folder)
      core.setOutput('istioctl-path', path)
      core.setOutput('istioctl-version', version)
      core.setOutput('cache-hit', cacheHit)
    },
    connected: ({ temporaryFile }) => {
      const kubeconfig = temporaryFile ?? config.kubeconfig
      leave({ ...(temporaryFile === undefined ? {} : { temporaryFile }), ...(kubeconfig === undefined ? {} : { kubeconfig }) })
    },
    kind: (kind) => leave({ kind }),
    intent: (intents) => leave({ intents }),
  }
}

/**
 * Log lines hold what pods, events and webhooks say. The runner takes `::name::` at the start of a line for a command, and
 * `##[name]` anywhere in it (and for white space what .NET does, U+0085 too): with a character of no width inside, both are only text.
 */
export function defused(text: string): string {
  return text.replace(/(^|[\r\n])([\s\u0085]*):(?=:)/g, '$1$2:\u200b').replace(/##(?=\[)/g, '#\u200b#')
}

/** The address under which a person finds this run; on a machine without GitHub, its name. */
function runName(): string {
  const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: repository, GITHUB_RUN_ID: id, GITHUB_RUN_ATTEMPT: attempt = '1' } = process.env
  return server && repository && id ? `${server}/${repository}/actions/runs/${id}/attempts/${attempt}` : `process ${process.pid} on ${hostname()}`
}

/** The runner asks with SIGINT, insists with SIGTERM 7.5 s later, and kills 2.5 s after that. */
function cancelled(told: () => void): AbortSignal {
  const controller = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      told()
      controller.abort(new Error('the run was cancelled'))
    })
  }
  return controller.signal
}

function publish(report: Report, file: string): void {
  writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`)
  const promotion = worst(report.promotions)
  const outputs: Record<string, unknown> = {
    kubeconfig: report.cluster?.kubeconfig,
    'ingress-address': report.cluster?.ingress.http,
    'cluster-logs': report.cluster?.logs,
    'mesh-version': report.mesh?.version,
    verdict: report.verdict,
    weight: report.weight,
    reason: report.reason,
    'time-to-detect': promotion?.secondsToDetect,
    'requests-observed': promotion && report.promotions.reduce((sum, { requestsObserved }) => sum + requestsObserved, 0),
    changed: changed(report),
    report: file,
  }
  for (const [name, value] of Object.entries(outputs)) if (value !== undefined) core.setOutput(name, value)
  const summaryFile = process.env['GITHUB_STEP_SUMMARY']
  if (summaryFile) appendFileSync(summaryFile, summary(report))
  if (report.error !== undefined) fail(report.error, promotion ? promotion.verdict : 'Failed')
  else for (const { canary, verdict, reason } of report.promotions) core.notice(reason, { title: `${canary}: ${verdict}` })
}

/** What was created, changed, deleted or restarted; of a dry run, what would be. */
function changed({ dryRun, stages, plan, cluster, changes, restarted, mesh, removed }: Report): number {
  const done = changes.length + restarted.length + (cluster?.action === 'created' ? 1 : 0) + (mesh && mesh.action !== 'unchanged' ? 1 : 0) + (removed?.length ?? 0)
  const wouldBe = (plan?.length ?? 0) + stages.filter(({ name, outcome }) => (name === 'cluster' || name === 'install' || name === 'inject') && outcome === 'done').length
  return dryRun ? wouldBe + (removed?.length ?? 0) : done
}

/** One annotation a sentence; the step fails. */
function fail(message: string, title: string): void {
  for (const line of message.split('\n')) core.error(line, { title })
  process.exitCode = 1
}

/** Finishes what main could not, and removes what main wrote. */
export async function post(): Promise<void> {
  const { intents = [], held = false, kubeconfig, context, kind, temporaryFile = kind?.kubeconfig } = JSON.parse(core.getState('left') || '{}') as Left
  try {
    if (intents.length === 0) return
    const { finishFor } = await import('../run.ts')
    for (const line of await finishFor(intents, held, kubeconfig, context, tempDir())) core.warning(`the run ended in the middle of a promotion: ${line}`)
  } catch (error) {
    fail(`the run ended in the middle of a promotion, and the traffic of ${intents.map(({ split }) => split.service).join(', ')} could not be put back: ${error instanceof Error ? error.message : String(error)}`, 'Put-back')
  } finally {
    if (kind?.remove) await removeKind(kind)
    if (temporaryFile) rmSync(dirname(temporaryFile), { recursive: true, force: true })
  }
}

async function removeKind(kind: LeftCluster): Promise<void> {
  try {
    const { removeCluster } = await import('../stages/cluster.ts')
    await removeCluster(kind, core.info)
    core.info(`the kind cluster ${kind.name}: deleted`)
  } catch (error) {
    fail(`the kind cluster ${kind.name} could not be deleted: ${error instanceof Error ? error.message : String(error)}; do it by hand: kind delete cluster --name ${kind.name}`, 'Cluster')
  }
}
