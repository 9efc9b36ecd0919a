// The HTML report: one file that shows a run, and needs no network. Pure, but for the assets that it reads.
import { createHash } from 'node:crypto'
import { withCluster } from '../../runtime/cluster-text.ts'
import type { ClusterResult, Report } from '../report.ts'
import type { SimulationReport } from '../simulation-report.ts'
import { readAssets, type Assets } from './assets.ts'
import type { ChartSpec } from './chart-spec.ts'
import { html, jsonForScript, Markup } from './escape.ts'
import { experimentBody } from './experiment.ts'
import { section } from './parts.ts'
import { overview, promotionBody } from './promotion.ts'
import { promotionCharts } from './promotion-charts.ts'
import { runSections, type Section } from './run-sections.ts'
import { simulationCharts, simulationHeadline, simulationSections } from './simulation.ts'
import { canaryName, experimentName, headline, type Headline } from '../headline.ts'

type Page = { head: Headline; about: string; sections: Section[]; charts: ChartSpec[] }

/** @throws Error if the assets cannot be read */
export function htmlPage(report: Report | SimulationReport, assets: Assets = readAssets()): string {
  return document('simulations' in report ? simulationPage(report) : runPage(report), assets).text
}

/** Of all charts over time, so that the page of many canaries has a few hundred KB. */
const sampleLimit = 2_400

function runPage(report: Report): Page {
  const { promotions, startedAt, seconds, namespace, error } = report
  const most = Math.floor(sampleLimit / promotions.length)
  const charts = promotions.map((promotion, i) => promotionCharts(promotion, `p${i}`, most))
  const isThinned = promotions.some(({ timeline }) => (timeline?.seconds.length ?? 0) > most)
  const links = promotions.map((_, i) => `promotion-${i}`)
  const isSeveral = promotions.length > 1
  const promotionSections = promotions.map((promotion, i) => ({
    id: links[i]!,
    title: isSeveral ? canaryName(promotion) : 'The promotion',
    body: promotionBody(promotion, charts[i]!, isSeveral),
  }))
  const experiments = (report.experiments ?? []).map((experiment, i) => ({
    id: `experiment-${i}`,
    title: `Experiment ${experimentName(experiment)}`,
    body: experimentBody(experiment),
  }))
  // Otherwise the headline has them.
  const hasOwnErrors = promotions.length + experiments.length > 0 || report.clusters !== undefined
  return {
    head: headline(report),
    about: `${namespace}, ${momentOf(startedAt)}, ${Math.round(seconds)} s`,
    sections: [
      ...(isSeveral
        ? [{ id: 'overview', title: 'Canaries', body: html`${overview(promotions, links)}${isThinned && thinnedNote}` }]
        : []),
      ...promotionSections,
      ...experiments,
      ...(hasOwnErrors && error !== undefined ? [{ id: 'errors', title: 'Errors', body: errors(error) }] : []),
      ...runSections(report),
      ...(report.clusters ?? []).flatMap(clusterSections),
    ],
    charts: charts.flat(),
  }
}

const thinnedNote = html`<p class="muted">Of so many canaries, the charts leave out samples. The JSON report has all.</p>`

/** What the run did in a cluster of a fleet besides its promotions. */
function clusterSections({ name, report }: ClusterResult): Section[] {
  return runSections(report).map(({ id, title, body }) => ({
    id: `${name}-${id}`,
    title: withCluster(name, title),
    body,
  }))
}

function errors(error: string): Markup {
  return html`<pre>${error}</pre>`
}

/** `at`: as ISO 8601. */
function momentOf(at: string): string {
  return `${at.replace('T', ' ').slice(0, 19)} UTC`
}

function simulationPage(report: SimulationReport): Page {
  const charts = simulationCharts(report)
  return {
    head: simulationHeadline(report),
    about: `${report.namespace}, ${momentOf(report.startedAt)}`,
    sections: simulationSections(report, charts),
    charts,
  }
}

/** Nothing but this page's own script and style runs, and nothing is loaded or sent. */
function policyOf({ script, style }: Assets): string {
  const hash = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`
  return [
    "default-src 'none'",
    `script-src ${hash(script)}`,
    `style-src ${hash(style)}`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ')
}

function document({ head, about, sections, charts }: Page, assets: Assets): Markup {
  const { tone, verdict, sentence, reason } = head
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policyOf(assets)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${verdict}: ${sentence}</title>
<style>${new Markup(assets.style)}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header>
<p class="verdict ${tone}">${verdict}</p>
<h1>${sentence}</h1>
${reason !== undefined && html`<p class="reason">${reason}</p>`}
<p class="muted">${about}</p>
</header>
<nav aria-label="Sections"><ul>${sections.map(({ id, title }) => html`<li><a href="#${id}">${title}</a></li>`)}</ul></nav>
<main id="main">
<noscript><p>The charts, and the tables of their values, need JavaScript. All other tables are here without it.</p></noscript>
${sections.map(({ id, title, body }) => section(id, title, body))}
</main>
<div id="live" class="hidden" aria-live="polite"></div>
<script type="application/json" id="data">${jsonForScript({ charts })}</script>
<script>${new Markup(assets.script)}</script>
</body>
</html>
`
}
