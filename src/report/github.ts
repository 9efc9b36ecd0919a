// The run on GitHub: inputs from the runner, lines and annotations to its log, outputs, summary, state for the post step.
import { appendFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import * as core from '@actions/core'
import type { Split } from '../canary/traffic.ts'
import { ConfigError } from '../config/error.ts'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { run, undo } from '../run.ts'
import type { Host } from '../stages/running.ts'
import { worst, type Report } from './report.ts'
import { summary } from './summary.ts'

/** What main leaves for post, as soon as it is known: main may be killed at any moment. */
type Left = { temporaryFile?: string; kubeconfig?: string; context?: string; splits?: Split[] }

function tempDir(): string {
  return process.env['RUNNER_TEMP'] ?? tmpdir()
}

export async function main(): Promise<void> {
  core.saveState('main', 'begun')
  const config = load()
  if (!config) return
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
  return {
    signal: cancelled(),
    tempDir: tempDir(),
    info: core.info,
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
    intent: (splits) => leave({ splits }),
  }
}

/** The runner asks with SIGINT, insists with SIGTERM 7.5 s later, and kills 2.5 s after that. */
function cancelled(): AbortSignal {
  const controller = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => controller.abort(new Error('the run was cancelled')))
  return controller.signal
}

function publish(report: Report, file: string): void {
  writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`)
  const promotion = worst(report.promotions)
  const outputs: Record<string, unknown> = {
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
function changed({ dryRun, stages, plan, changes, restarted, mesh, removed }: Report): number {
  const done = changes.length + restarted.length + (mesh && mesh.action !== 'unchanged' ? 1 : 0) + (removed?.length ?? 0)
  const wouldBe = (plan?.length ?? 0) + stages.filter(({ name, outcome }) => (name === 'install' || name === 'inject') && outcome === 'done').length
  return dryRun ? wouldBe + (removed?.length ?? 0) : done
}

/** One annotation a sentence; the step fails. */
function fail(message: string, title: string): void {
  for (const line of message.split('\n')) core.error(line, { title })
  process.exitCode = 1
}

/** Finishes what main could not, and removes what main wrote. */
export async function post(): Promise<void> {
  const left = JSON.parse(core.getState('left') || '{}') as Left
  try {
    if (!left.splits || left.splits.length === 0) return
    await undo(left.splits, left.kubeconfig, left.context, tempDir())
    for (const { service, stable } of left.splits) core.warning(`the run ended in the middle of a promotion: all traffic of ${service} was put back to ${stable.name}`)
  } catch (error) {
    fail(`the run ended in the middle of a promotion, and the traffic of ${left.splits?.map(({ service }) => service).join(', ') ?? ''} could not be put back: ${error instanceof Error ? error.message : String(error)}`, 'Put-back')
  } finally {
    if (left.temporaryFile) rmSync(dirname(left.temporaryFile), { recursive: true, force: true })
  }
}
