// The view of a simulation: what becomes of canaries that fail this or that share of their requests. Pure.
import { percent } from '../../statistics/percent.ts'
import type { Simulation, SimulationReport } from '../simulation-report.ts'
import type { ChartSpec } from './chart-spec.ts'
import { html, type Markup } from './escape.ts'
import { chartPlaces, facts, lines, table } from './parts.ts'
import type { Section } from './run-sections.ts'
import type { Headline } from '../headline.ts'

export function simulationHeadline({ simulations }: SimulationReport): Headline {
  const names = simulations.map(({ canary, service }) => `${canary} of ${service}`).join(', ')
  return {
    tone: 'open',
    verdict: 'simulation',
    sentence: `The chances of ${names}`,
    reason: 'Simulated in virtual time, by the rules that decide about a real promotion. Nothing was changed.',
  }
}

export function simulationCharts({ simulations }: SimulationReport): ChartSpec[] {
  return simulations.map(({ chances }, i) => ({
    id: `s${i}-chances`,
    group: `s${i}`,
    title: 'Verdicts by the share of requests that the canary fails',
    x: chances.map((_, at) => at),
    xName: 'failing',
    categories: chances.map(({ failing }) => percent(failing, 1)),
    unit: '%',
    scale: { kind: 'linear', low: 0, high: 100 },
    stacked: true,
    series: [
      { name: 'promoted', role: 'for', draw: 'bars', values: chances.map((each) => 100 * each.promoted) },
      { name: 'inconclusive', role: 'undecided', draw: 'bars', values: chances.map((each) => 100 * each.inconclusive) },
      { name: 'rolled back', role: 'against', draw: 'bars', values: chances.map((each) => 100 * each.rolledBack) },
    ],
  }))
}

export function simulationSections({ simulations }: SimulationReport, charts: ChartSpec[]): Section[] {
  return simulations.map((simulation, i) => ({
    id: `s${i}`,
    title: `${simulation.canary} of ${simulation.service}`,
    body: simulationBody(simulation, charts.slice(i, i + 1)),
  }))
}

function simulationBody({ rate, runs, steps, stableFailing, chances, notes }: Simulation, charts: ChartSpec[]): Markup {
  const rows = chances.map((each) => [
    percent(each.failing, 1),
    percent(each.promoted, 1),
    percent(each.rolledBack, 1),
    percent(each.inconclusive, 1),
    `${each.seconds} s`,
    Math.round(each.failedRequests),
  ])
  const heads = ['Canary fails', 'Promoted', 'Rolled back', 'Inconclusive', 'Median time', 'Failed requests']
  return html`${facts([
    ['requests of users', `${Number(rate.toFixed(1))} a second`],
    ['steps', steps.join(', ')],
    ['promotions for each rate', String(runs)],
    ['stable fails', percent(stableFailing, 1)],
  ])}
${notes.length > 0 && lines(notes)}
${chartPlaces(charts)}
${table('Chances', heads, rows)}`
}
