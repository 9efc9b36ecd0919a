// `simulate`: the chances of the plans of a config, in virtual time. It changes nothing, and reads only the rate.
import { requestRate } from '../canary/controller/request-rate.ts'
import { describeTooLittleTraffic } from '../canary/load/traffic-need.ts'
import { createClient } from '../cluster/client.ts'
import { connection } from '../cluster/connect.ts'
import { ConfigError } from '../config/error.ts'
import { fleetOf } from '../config/fleet.ts'
import { canariesOf } from '../config/names.ts'
import type { CanaryConfig, Config } from '../config/schema.ts'
import type { Simulation } from '../report/simulation-report.ts'
import { faultOfHtmlPath, writeHtml } from '../report/write-html.ts'
import { writeText } from '../report/write.ts'
import { withCluster } from '../runtime/cluster-text.ts'
import { systemClock } from '../runtime/clock.ts'
import { tempDir } from '../runtime/environment.ts'
import { messageOf } from '../runtime/errors.ts'
import { chancesChart } from '../simulate/chart.ts'
import { chancesOf, stableFailing } from '../simulate/chances.ts'
import { chancesTable } from '../simulate/table.ts'
import { percent } from '../statistics/percent.ts'
import { createTempDir } from './temp-dir.ts'
import { terminal, type Terminal } from './terminal.ts'

export type SimulateOptions = { rate?: string; runs: string; chart?: string }

/** Returns the exit code. @throws ConfigError if an option is wrong, or the rate is neither given nor known */
export async function simulateConfig(config: Config, options: SimulateOptions): Promise<number> {
  if (canariesOf(config).length === 0)
    throw new ConfigError('canary: there is no canary to simulate; add the section `canary`')
  const runs = numberOf('--runs', options.runs, 'a whole number of promotions from 10, such as 400', 10, 1_000_000, 1)
  const given = options.rate === undefined ? undefined : rateOf(options.rate)
  const htmlFile = checkHtml(config)
  if (given === undefined) createTempDir()
  const lines = terminal(process.stdout, process.env)
  const simulations: Simulation[] = []
  const cases = casesOf(config, given !== undefined)
  for (const each of cases) {
    const simulation = simulate(each, given ?? (await liveRate(each)), runs)
    print(simulation, each, lines)
    simulations.push(simulation)
    if (options.chart === undefined) continue
    const file = cases.length === 1 ? options.chart : chartFile(options.chart, each.name)
    writeChart(file, chancesChart(titleOf(simulation), simulation.chances))
  }
  if (htmlFile !== undefined) await writePage(htmlFile, config, simulations)
  return 0
}

/** `rate`: requests of users per second. */
function simulate({ cluster, plan }: Case, rate: number, runs: number): Simulation {
  return {
    service: withCluster(cluster, plan.service),
    stable: plan.stable.name,
    canary: plan.canary.name,
    rate,
    runs,
    steps: plan.steps,
    stableFailing: stableFailing(plan),
    chances: chancesOf(plan, rate, runs),
    notes: [...notSimulated(plan), describeTooLittleTraffic(plan, rate)].filter((note) => note !== undefined),
  }
}

function titleOf({ service, rate, steps }: Simulation): string {
  return `${service}: ${Number(rate.toFixed(1))} requests a second, steps ${steps.join(', ')}`
}

function print(simulation: Simulation, { plan }: Case, { info, warning }: Terminal): void {
  info(`${titleOf(simulation)}; stable fails ${percent(simulation.stableFailing, 1)} of its requests`)
  info(`${simulation.runs} simulated promotions for each failure rate of the canary`)
  notSimulated(plan).forEach(info)
  info(chancesTable(simulation.chances))
  const tooLittle = describeTooLittleTraffic(plan, simulation.rate)
  if (tooLittle !== undefined) warning(tooLittle)
}

/** `cluster`: of a fleet, or which of them. `name`: in the names of files. */
type Case = { cluster: string | undefined; name: string; config: Config; plan: CanaryConfig }

/** In a fleet, each cluster has its own rate. `hasRate`: the same for all, and so are the chances. */
function casesOf(config: Config, hasRate: boolean): Case[] {
  const fleet = fleetOf(config)
  const casesIn = (config: Config, cluster: string | undefined, prefix: string) =>
    canariesOf(config).map((plan) => ({ cluster, name: `${prefix}${plan.service}`, config, plan }))
  const [first] = fleet
  if (!first) return casesIn(config, undefined, '')
  if (hasRate) return casesIn(first.config, `each of ${fleet.length} clusters`, '')
  return fleet.flatMap(({ name, config }) => casesIn(config, name, `${name}-`))
}

/** @throws ConfigError if the HTML report cannot go where the config says */
function checkHtml({ htmlReport, report }: Config): string | undefined {
  const fault = faultOfHtmlPath(htmlReport, { 'the JSON report': report })
  if (fault !== undefined) throw new ConfigError(`--html-report: ${fault}`)
  return htmlReport
}

/** @throws ConfigError if the file cannot be written */
async function writePage(file: string, { namespace }: Config, simulations: Simulation[]): Promise<void> {
  const report = { startedAt: new Date(systemClock.now()).toISOString(), namespace, simulations }
  const fault = await writeHtml(file, report)
  if (fault !== undefined) throw new ConfigError(`--html-report: ${fault}`)
}

const rateOf = (text: string) =>
  numberOf('--rate', text, 'the requests per second that the service gets, such as 10', 0.01, 1_000_000)

/** `step`: what it has to be a multiple of; 0 for any. */
function numberOf(option: string, text: string, expected: string, least: number, most: number, step = 0): number {
  const number = Number(text)
  const isMultiple = step === 0 || number % step === 0
  if (text.trim() !== '' && isMultiple && number >= least && number <= most) return number
  throw new ConfigError(`${option}: expected ${expected}, but got ${JSON.stringify(text)}`)
}

async function liveRate({ config, plan }: Case): Promise<number> {
  const measured = await measure(config, plan).catch((problem: unknown) => messageOf(problem))
  if (typeof measured === 'number' && measured > 0) return measured
  const why = typeof measured === 'number' ? `${plan.service} gets no requests now` : measured
  throw new ConfigError(
    `--rate: give the requests per second that ${plan.service} gets, such as \`--rate 10\`; the mesh does not show it (${why})`,
  )
}

async function measure(config: Config, plan: CanaryConfig): Promise<number> {
  const cluster = createClient(connection(config.kubeconfig, config.context, tempDir()), config.limits)
  return requestRate(cluster, config, plan, systemClock)
}

function notSimulated({ ab, webhooks, checks: { queries, commands } }: CanaryConfig): string[] {
  const hooks = [...Object.keys(queries), ...Object.keys(commands), ...Object.keys(webhooks)]
  return [
    ...(ab ? ['not simulated: the stage `ab`, because nobody knows how many requests match'] : []),
    ...(hooks.length > 0 ? [`not simulated: ${hooks.join(', ')}; they count as passed`] : []),
  ]
}

/** One file for each of several canaries: chart.svg becomes chart-backend.svg, and in a fleet chart-eu-backend.svg. */
function chartFile(file: string, name: string): string {
  return file.replace(/(\.\w+)?$/, (extension) => `-${name}${extension}`)
}

/** @throws ConfigError if the file cannot be written */
function writeChart(file: string, svg: string): void {
  const fault = writeText(file, svg)
  if (fault !== undefined) throw new ConfigError(`--chart: ${fault}`)
}
