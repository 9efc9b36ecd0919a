// `npm start`: a demonstration of the main job. Starts the embedded mesh, deploys the sample app under steady traffic,
// releases a new image of its backend with the built action, as a runner would, and shows the result. `--bad` releases an
// image that fails. `--experiment` injects faults instead of releasing. `--observe` also installs Prometheus and Jaeger,
// and leaves them running. With `--cluster kind`, the action creates its cluster in Docker.
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { runner, type ActionRun } from '../test/e2e/runner.ts'
import {
  deploySampleApp,
  embeddedMesh,
  kindCluster,
  liveWeights,
  sampleApp,
  sampleImages,
  traffic,
  type TestCluster,
} from '../test/e2e/world.ts'
import { runExperiments, wrongVerdicts } from './experiments.ts'
import { renderMarkdown } from './markdown.ts'
import { observability, provideImages, whereToLook } from './observe.ts'

const { bad, cluster, observe, experiment } = options()
const began = Date.now()

try {
  process.exitCode = await demonstrate()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
process.exit()

async function demonstrate(): Promise<number> {
  const testCluster = cluster === 'kind' ? await kindCluster(show) : await embeddedMesh()
  if (observe && cluster === 'embedded') {
    say('providing the images of Prometheus and Jaeger …')
    await provideImages()
  }
  say('deploying the sample app, 50 requests a second …')
  await deploySampleApp(testCluster)

  if (experiment) return demonstrateExperiments(testCluster)
  const image = bad ? sampleImages.failing : sampleImages.next
  say(`releasing ${image} with the action …\n`)
  const machine = runner(testCluster.runner)
  // Counts users from the first weight on, because the run restarts the frontend before that.
  let before = traffic(testCluster)
  const onLine = (line: string) => {
    show(line)
    if (line.startsWith('weight: stable 95')) before = traffic(testCluster)
  }
  const inputs = { ...testCluster.inputs, ...(observe ? { observability } : {}) }
  const actionRun = await machine.run({ ...inputs, config: `${sampleApp}/release.yaml`, image }, { onLine })
  keepResults(actionRun)
  machine.remove()
  return printResult(testCluster, actionRun, await before)
}

async function demonstrateExperiments(testCluster: TestCluster): Promise<number> {
  say('injecting faults with the action …\n')
  const machine = runner(testCluster.runner)
  const actionRun = await runExperiments(testCluster, machine, show)
  keepResults(actionRun)
  machine.remove()
  console.log(`\n${renderMarkdown(actionRun.summary, process.stdout)}`)
  say('kept: out/report.json, out/summary.md')
  const wrong = wrongVerdicts(actionRun)
  wrong.forEach(say)
  return wrong.length === 0 ? 0 : 1
}

function options(): { bad: boolean; cluster: string; observe: boolean; experiment: boolean } {
  const { values } = parseArgs({
    options: {
      bad: { type: 'boolean', default: false },
      observe: { type: 'boolean', default: false },
      experiment: { type: 'boolean', default: false },
      cluster: { type: 'string', default: 'embedded' },
    },
  })
  if (!['embedded', 'kind'].includes(values.cluster)) {
    console.error(`--cluster ${values.cluster}: expected embedded or kind`)
    process.exit(2)
  }
  return values
}

function say(line: string): void {
  console.log(`[${((Date.now() - began) / 1000).toFixed(0).padStart(4)} s] ${line}`)
}

/** Prints a line as GitHub shows it: of the runner's commands, only names of groups and texts of annotations. */
function show(line: string): void {
  const command = /^::(\w[\w-]*)(?: [^:]*)?::(.*)$/.exec(line)
  if (!command) return say(line)
  const [, name = '', escaped = ''] = command
  const text = decodeURIComponent(escaped.replace(/%(?!25|0A|0D)/g, '%25'))
  if (name === 'group') say(`▸ ${text}`)
  if (['error', 'warning', 'notice'].includes(name)) say(`${name}: ${text}`)
}

function keepResults({ outputs, summary }: ActionRun): void {
  mkdirSync('out', { recursive: true })
  if (outputs['report']) copyFileSync(outputs['report'], 'out/report.json')
  writeFileSync('out/summary.md', summary)
}

/** The Deployments of the backend, each with its image. */
async function deployments({ run }: TestCluster): Promise<string[]> {
  const form = String.raw`{range .items[*]}{.metadata.name}={.spec.template.spec.containers[0].image}{"\n"}{end}`
  const found = await run(['kubectl', '-n', 'sample-app', 'get', 'deployments', '-o', `jsonpath=${form}`])
  return found.split('\n').filter((line) => line.startsWith('backend'))
}

async function printResult(
  testCluster: TestCluster,
  { summary, report }: ActionRun,
  before: { sent: number; failed: number },
): Promise<number> {
  console.log(`\n${renderMarkdown(summary.replace(/```mermaid[\s\S]*?```\n*/g, ''), process.stdout)}`)
  const [now, weights] = await Promise.all([traffic(testCluster), liveWeights(testCluster)])
  say(
    `live VirtualService: ${Object.entries(weights)
      .map(([subset, weight]) => `${subset} ${weight}`)
      .join(', ')}`,
  )
  say(`Deployments: ${(await deployments(testCluster)).join(', ')}`)
  const { total = 0, failed = 0 } = report?.promotions[0]?.userRequests ?? {}
  say(`user requests during the promotion: ${total}, failed: ${failed}`)
  say(
    `the frontend's own count since the promotion began: ${now.sent - before.sent} sent, ${now.failed - before.failed} failed`,
  )
  say('kept: out/report.json, out/summary.md')
  if (observe) (await whereToLook(testCluster, cluster === 'embedded' ? 'npm run mesh -- exec -- ' : '')).forEach(say)
  const expectedVerdict = bad ? 'rolled-back' : 'promoted'
  if (report?.verdict === expectedVerdict) return 0
  say(`expected the verdict ${expectedVerdict}, got ${report?.verdict ?? 'none'}`)
  return 1
}
