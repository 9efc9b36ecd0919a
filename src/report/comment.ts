// The comment on a pull request, or the note on a merge request: what a run would do or did, in Markdown. Pure.
import { createHash } from 'node:crypto'
import type { ExperimentReport } from './experiment-report.ts'
import { codeBlock, escape, joinWithin } from './markdown.ts'
import { chart } from './promotion-summary.ts'
import type { PlanRow, PromotionReport, Report } from './report.ts'
import { headline } from './summary.ts'

/** `run`: the page of the run. `html`, `json`: the paths of its reports. `environment`: where the users' requests arrive. */
export type CommentLinks = {
  run?: string | undefined
  html?: string | undefined
  json?: string | undefined
  environment?: string | undefined
}

/** GitHub refuses a body of more than 65,536 characters. */
const mostBytes = 60_000
const mostBytesOfBlock = 24_000
const mostPromotions = 12
const mostLines = 20
const mostCharacters = 1_000

/** The first line of the comment, by which a later run finds it: one for each config and namespace. */
export function markerOf(owner: string, namespace: string): string {
  const id = createHash('sha256').update(`${owner}\n${namespace}`).digest('hex').slice(0, 16)
  return `<!-- mesh-canary ${id} -->`
}

/** Begins with the marker. */
export function commentBody(report: Report, marker: string, links: CommentLinks): string {
  const { promotions, experiments = [], warnings, error } = report
  const shown = promotions.slice(0, mostPromotions)
  const parts = [
    `${marker}\n### ${say(headline(report))}`,
    quote(error?.split('\n') ?? []),
    ...shown.map((each) => promotionPart(each, promotions.length > 1)),
    promotions.length > shown.length ? `… and ${promotions.length - shown.length} more canaries` : '',
    ...experiments.slice(0, mostLines).map(experimentPart),
    ...planParts(report),
    warnings.length > 0
      ? folded(`${warnings.length} ${warnings.length === 1 ? 'warning' : 'warnings'}`, bullets(warnings))
      : '',
  ]
  const last = `${linksLine(report, links)}\n`
  const room = mostBytes - Buffer.byteLength(last) - 2
  return `${joinWithin(room, parts.filter(Boolean), describeLeftOut)}\n${last}`
}

const describeLeftOut = (count: number) =>
  `> ${count} ${count === 1 ? 'part is' : 'parts are'} left out, because a comment has little room: the page of the run has all`

function promotionPart(report: PromotionReport, isOneOfSeveral: boolean): string {
  const { canary, service, verdict, reason, steps, userRequests, engineVerdict } = report
  // No line begins with a name, because GitLab takes a slash there for a command.
  const name = isOneOfSeveral ? `Canary ${say(`${canary} of ${service}`)}: ` : ''
  const controller = engineVerdict === undefined ? '' : `the controller: ${engineVerdict}; `
  const requests = `${userRequests.failed} of ${userRequests.total} requests of users failed`
  return [
    `${name}**${verdict}**: ${say(reason)} (${controller}${requests})`,
    ...(steps.length > 0 ? [chart(report)] : []),
  ].join('\n\n')
}

function experimentPart({ name, verdict, reason }: ExperimentReport): string {
  return `Experiment ${say(name)}: **${verdict}**: ${say(reason)}`
}

/** As collapsed diffs, without what a first installation creates. */
function planParts({ dryRun, plan = [], meshPlan = [], rendered, removed = [] }: Report): string[] {
  const mesh = meshPlan.filter(({ action }) => action !== 'create')
  const verb = dryRun ? 'would change' : 'changed'
  return [
    ...(mesh.length > 0 ? [diff(`Control plane: ${count(mesh.length)} ${verb}`, mesh)] : []),
    ...(plan.length > 0 ? [diff(`Policies: ${count(plan.length)} ${verb}`, plan)] : []),
    ...(removed.length > 0
      ? [folded(`${count(removed.length)} ${dryRun ? 'would be removed' : 'removed'}`, bullets(removed))]
      : []),
    ...(rendered === undefined ? [] : [folded('Objects', block('yaml', rendered.trimEnd().split('\n')))]),
  ]
}

const count = (objects: number) => `${objects} ${objects === 1 ? 'object' : 'objects'}`

function diff(title: string, rows: PlanRow[]): string {
  const lines = rows.flatMap(({ action, kind, namespace, name, diff }) => [
    `# ${kind} ${namespace}/${name}: ${action}`,
    ...diff,
  ])
  return folded(title, block('diff', lines))
}

function folded(title: string, body: string): string {
  return `<details>\n<summary>${title}</summary>\n\n${body}\n\n</details>`
}

/** GitLab takes a line that begins with a slash for a command, and may do so inside of a block. */
function block(language: string, lines: string[]): string {
  const oneLine = lines.flatMap((line) => line.split(/\r\n|[\r\n]/))
  return codeBlock(
    language,
    oneLine.map((line) => line.replace(/^(?=\s*\/)/, '\u200b')),
    mostBytesOfBlock,
  )
}

function bullets(lines: readonly string[]): string {
  const more = lines.length > mostLines ? [`- … and ${lines.length - mostLines} more`] : []
  return [...lines.slice(0, mostLines).map((line) => `- ${say(line)}`), ...more].join('\n')
}

function quote(lines: readonly string[]): string {
  return lines
    .slice(0, mostLines)
    .map((line) => `> ${say(line)}`)
    .join('\n>\n')
}

/** Text from the cluster, as text: no markup, and nobody and nothing is mentioned by it. */
function say(text: string): string {
  const cut = text.length > mostCharacters ? `${text.slice(0, mostCharacters)}…` : text
  return escape(withoutReferences(cut)).replaceAll('&', '&amp;')
}

/**
 * A character of no width keeps names, issues, merge requests and addresses from becoming links, which notify people.
 * What turns text around is left out.
 */
function withoutReferences(text: string): string {
  return text
    .replace(/[\u202a-\u202e\u2066-\u2069]/g, '')
    .replaceAll('@', '@\u200b')
    .replace(/([#!&])(?=\d)/g, '$1\u200b')
    .replace(/\bGH-(?=\d)/gi, (prefix) => `${prefix}\u200b`)
    .replaceAll('://', ':\u200b//')
}

function linksLine({ startedAt }: Report, { run, html, json, environment }: CommentLinks): string {
  const address = (url: string) => encodeURI(url).replace(/[()]/g, (sign) => (sign === '(' ? '%28' : '%29'))
  const links = [
    ...(run === undefined ? [] : [`[the run](${address(run)})`]),
    ...(environment === undefined ? [] : [`[the application](${address(environment)})`]),
    ...[html, json].flatMap((file) => (file === undefined ? [] : [`report: ${say(file)}`])),
  ]
  return [`${startedAt.replace('T', ' ').slice(0, 16)} UTC`, ...links].join(' · ')
}
