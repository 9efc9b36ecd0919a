// The run on GitHub: inputs from the runner, lines in its log, state for the post step.
import { join } from 'node:path'
import * as core from '@actions/core'
import { ConfigError } from '../config/error.ts'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { recordFleetPostState } from '../fleet/post-state.ts'
import { hasLeftTraffic, holdsWeights, runPost, type PostState } from '../post.ts'
import { readGuardProgram, runName, tempDir } from '../runtime/environment.ts'
import { messageOf } from '../runtime/errors.ts'
import type { AfterRun } from '../report/after-run.ts'
import { faultOfHtmlPath } from '../report/write-html.ts'
import { prepareFile } from '../report/write.ts'
import { withoutRunnerCommands } from '../runtime/runner-commands.ts'
import { abortOnSignals } from '../runtime/signals.ts'
import type { FleetHost } from '../fleet/run-fleet.ts'
import type { Host } from '../stages/context.ts'
import { postStateSaver, takePostState } from './post-state.ts'
import type { GithubReporting } from './reporting.ts'
import { fail, publish } from './publish.ts'

/** The main step, or the post step if main has run before. */
export async function action(): Promise<void> {
  await (core.getState('main') === '' ? main() : postStep())
}

async function main(): Promise<void> {
  core.saveState('main', 'begun')
  const config = load()
  if (!config) return
  const jsonFile = config.report ?? join(tempDir(), 'mesh-canary-report.json')
  const htmlFault = faultOfHtmlPath(config.htmlReport, { 'the JSON report': jsonFile })
  if (htmlFault !== undefined) return fail(`html-report: ${htmlFault}`, 'Input')
  const reportFault = prepareFile(jsonFile)
  if (reportFault !== undefined) return fail(`report: ${reportFault}`, 'Input')
  // Only now: most of the program need not be loaded to say that an input is wrong.
  const [{ runFleet }, { startReporting }] = await Promise.all([
    import('../fleet/run-fleet.ts'),
    import('./reporting.ts'),
  ])
  const reporting = await startReporting(config, process.env)
  const { isOpen, ...runHost } = host(config, reporting)
  const report = await runFleet(config, runHost)
  const files = await publish(report, jsonFile, config.htmlReport)
  // Last, because neither the outputs nor the traffic may wait for GitHub's API.
  await reporting.end(report, files, { cancelled: runHost.signal, isLater: isOpen() })
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

/** `isOpen`: whether the post step has traffic or a fault to put back. */
function host(config: Config, reporting: GithubReporting): FleetHost & { isOpen: () => boolean } {
  let left: PostState = {}
  const save = postStateSaver(tempDir())
  const { onCancel, onConnected, inCluster, ...postHooks } = recordFleetPostState(config, (state) => {
    left = state
    save(state)
  })
  // The runner asks with SIGINT, insists with SIGTERM 7.5 s later, and kills 2.5 s after that.
  const signal = abortOnSignals(['SIGINT', 'SIGTERM'], onCancel)
  const announced =
    (record: Host['onConnected']): Host['onConnected'] =>
    (target) => {
      record(target)
      reporting.connected(target.server, signal)
    }
  return {
    isOpen: () => hasLeftTraffic(left),
    onConnected: announced(onConnected),
    inCluster: (name, member) => {
      const hooks = inCluster(name, member)
      return { ...hooks, onConnected: announced(hooks.onConnected) }
    },
    signal,
    tempDir: tempDir(),
    outputFolder: tempDir(),
    runName: runName(),
    readGuardProgram,
    info: (line) => core.info(withoutRunnerCommands(line)),
    warning: core.warning,
    group: core.group,
    mask: core.setSecret,
    onIstioctl: ({ folder }) => core.addPath(folder),
    ...postHooks,
  }
}

/** Finishes what main could not, and removes what main wrote. */
async function postStep(): Promise<void> {
  const { after, isHeld } = await finishRun()
  const { finishReporting } = await import('./reporting.ts')
  await finishReporting(after, isHeld)
}

/** `after`: what it has done about a promotion that the run did not end. `isHeld`: that is to leave it for the next run. */
async function finishRun(): Promise<{ after: AfterRun; isHeld: boolean }> {
  let left: PostState | undefined
  try {
    left = takePostState()
    const lines = await runPost(left, (line) => core.info(withoutRunnerCommands(line)))
    for (const line of lines) core.warning(line)
    return { after: { lines, isTrafficUnsafe: false }, isHeld: holdsWeights(left) }
  } catch (problem) {
    // The runner masks secrets in its log, but not in what goes to GitHub's API: so the error stays in the log.
    fail(messageOf(problem), 'Post step')
    return { after: { lines: [], isTrafficUnsafe: left === undefined || hasLeftTraffic(left) }, isHeld: false }
  }
}
