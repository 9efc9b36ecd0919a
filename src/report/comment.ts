// The comment on a pull request, or the note on a merge request: what a run would do or did, in Markdown. Pure.
import { createHash } from 'node:crypto'
import type { Config } from '../config/schema.ts'
import { bidiControls } from '../runtime/bidi.ts'
import { plural } from '../runtime/plural.ts'
import { countChanges } from './count-changes.ts'
import { cutText } from './cut-text.ts'
import type { ExperimentReport } from './experiment-report.ts'
import { canaryName, headline, headlineText } from './headline.ts'
import { codeBlock, escape, joinWithin, leftOutNote } from './markdown.ts'
import { planLines, withoutCreated } from './plan-lines.ts'
import { chart } from './promotion-summary.ts'
import type { PlanRow, PromotionReport, Report } from './report.ts'

/** `commit`: which this is about. `run`: the page of the run. `html`, `json`: the paths of its reports. `environment`: where the users' requests arrive. */
export type CommentLinks = {
  commit?: string | undefined
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

/** `server`: the address of the cluster's API, if the run has reached one. `job`: the name of the CI job. */
export type Place = { server?: string | undefined; job?: string | undefined }

/** One for each config, namespace and cluster. A run that reaches no cluster has one of its own. */
export function reportId({ identity, namespace, cluster }: Config, place: Place): string {
  const where = placeName(cluster, place)
  return createHash('sha256').update(`${identity.owner}\n${namespace}\n${where}`).digest('hex').slice(0, 16)
}

/**
 * A cluster on the runner gets another port each time, and other runners have others of the same name. So it counts by the job. A matrix
 * over Kubernetes versions is one job on GitHub.
 */
function placeName(cluster: Config['cluster'], { server = '', job = '' }: Place): string {
  if (cluster) return ['kind', cluster.name, cluster.kubernetes, cluster.image, job].join(' ')
  return isLocal(server) ? `local ${job}` : server
}

/** Loopback, and what k3d names. */
function isLocal(server: string): boolean {
  return /^https?:\/\/(127\.|0\.0\.0\.0|localhost|\[::1\]|host\.docker\.internal)/i.test(server)
}

/** The first line of the comment, by which a later run finds it. */
export function markerOf(id: string): string {
  return `<!-- mesh-canary ${id} -->`
}

const asOfLine = /^<!-- as of (\S+) -->$/m

/** What a run has done holds from its end on; what it has only seen, from its start on. */
function asOf(report: Report): string {
  const { startedAt, seconds, dryRun, verdict, promotions, experiments = [] } = report
  const isDecided = promotions.some((each) => each.verdict !== 'skipped') || ![undefined, 'skipped'].includes(verdict)
  const hasActed = !dryRun && (isDecided || experiments.length > 0 || countChanges(report) > 0)
  return hasActed ? new Date(Date.parse(startedAt) + seconds * 1000).toISOString() : startedAt
}

/**
 * What becomes of the comments with our marker. Two runs at once may each have written one, so all but one are removed.
 * `isOutdated`: there is one of a later result.
 */
export function commentChange(
  own: readonly { id: number; body: string }[],
  body: string,
): { update?: number; remove: number[]; isOutdated: boolean } {
  const time = (text: string) => Date.parse(asOfLine.exec(text)?.[1] ?? '') || 0
  if (own.some((each) => time(each.body) > time(body))) return { remove: [], isOutdated: true }
  const [first, ...others] = own.map(({ id }) => id)
  return { ...(first === undefined ? {} : { update: first }), remove: others, isOutdated: false }
}

/** Begins with the marker. */
export function commentBody(report: Report, marker: string, links: CommentLinks): string {
  const { promotions, experiments = [], warnings, error } = report
  const shown = promotions.slice(0, mostPromotions)
  const parts = [
    `${marker}\n<!-- as of ${asOf(report)} -->\n### ${say(headlineText(report))}`,
    error === undefined ? reasonPart(report) : quote(error.split('\n')),
    ...shown.map((each) => promotionPart(each, promotions.length > 1)),
    promotions.length > shown.length ? `… and ${promotions.length - shown.length} more canaries` : '',
    ...experiments.slice(0, mostLines).map(experimentPart),
    ...(report.clusters ?? [{ name: undefined, report }]).flatMap(({ name, report }) => planParts(report, name)),
    warnings.length > 0 ? folded(plural(warnings.length, 'warning'), bullets(warnings)) : '',
  ]
  const last = `${linksLine(report, links)}\n`
  const room = mostBytes - Buffer.byteLength(last) - 2
  return `${joinWithin(room, parts.filter(Boolean), describeLeftOut)}\n${last}`
}

/** Of a promotion or an experiment, its own part says it. */
function reasonPart(report: Report): string {
  const { verdict, reason } = headline(report)
  const hasOwnPart = report.promotions.length + (report.experiments ?? []).length > 0
  return hasOwnPart || reason === undefined ? '' : `**${verdict}**: ${say(reason)}`
}

const describeLeftOut = (count: number) => leftOutNote(count, 'a comment has little room: the page of the run has all')

function promotionPart(report: PromotionReport, isOneOfSeveral: boolean): string {
  const { verdict, reason, steps, userRequests, engineVerdict } = report
  // No line begins with a name, because GitLab takes a slash there for a command.
  const name = isOneOfSeveral ? `Canary ${say(canaryName(report))}: ` : ''
  const controller = engineVerdict === undefined ? '' : `the controller: ${engineVerdict}; `
  const requests = `${userRequests.failed} of ${userRequests.total} requests of users failed`
  return [
    `${name}**${verdict}**: ${say(reason)} (${controller}${requests})`,
    ...(steps.length > 0 ? [chart(report)] : []),
  ].join('\n\n')
}

function experimentPart({ cluster, name, verdict, reason }: ExperimentReport): string {
  return `Experiment ${say(cluster === undefined ? name : `${name} in ${cluster}`)}: **${verdict}**: ${say(reason)}`
}

/** As collapsed diffs, without what a first installation creates. */
function planParts({ dryRun, plan = [], meshPlan, rendered, removed = [] }: Report, cluster?: string): string[] {
  const place = cluster === undefined ? '' : `${say(cluster)}: `
  const mesh = withoutCreated(meshPlan)
  const verb = dryRun ? 'would change' : 'changed'
  return [
    ...(mesh.length > 0 ? [diff(`${place}Control plane: ${plural(mesh.length, 'object')} ${verb}`, mesh)] : []),
    ...(plan.length > 0 ? [diff(`${place}Policies: ${plural(plan.length, 'object')} ${verb}`, plan)] : []),
    ...(removed.length > 0
      ? [
          folded(
            `${place}${plural(removed.length, 'object')} ${dryRun ? 'would be removed' : 'removed'}`,
            bullets(removed),
          ),
        ]
      : []),
    ...(rendered === undefined ? [] : [folded(`${place}Objects`, block('yaml', rendered.trimEnd().split('\n')))]),
  ]
}

function diff(title: string, rows: PlanRow[]): string {
  return folded(title, block('diff', planLines(rows)))
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
  return escape(withoutReferences(cutText(text, mostCharacters))).replaceAll('&', '&amp;')
}

const turning = new RegExp(`[${bidiControls}]`, 'g')

/**
 * A character of no width keeps what GitHub and GitLab document as references from becoming links, which notify people: names, issues,
 * merge requests, milestones, labels, commits (7 hexadecimal digits and more), tickets of Jira, and addresses. It also keeps `$` from
 * beginning a formula. What turns text around is left out.
 */
function withoutReferences(text: string): string {
  return text
    .replace(turning, '')
    .replace(
      /[@#!&%^~$](?=\S)|\[(?=\w+:)|\b[wW]{3}(?=\.)|\b(?:[gG][hH]|[A-Z][A-Z\d_]+)-(?=\d)|[\da-fA-F]{6}(?=[\da-fA-F])/g,
      '$&\u200b',
    )
    .replaceAll('://', ':\u200b//')
}

function linksLine({ startedAt }: Report, { commit, run, html, json, environment }: CommentLinks): string {
  const address = (url: string) => encodeURI(url).replace(/[()]/g, (sign) => (sign === '(' ? '%28' : '%29'))
  const links = [
    ...(commit === undefined ? [] : [`commit \`${commit.replace(/[^\da-f]/gi, '').slice(0, 12)}\``]),
    ...(run === undefined ? [] : [`[the run](${address(run)})`]),
    ...(environment === undefined ? [] : [`[the application](${address(environment)})`]),
    ...[html, json].flatMap((file) => (file === undefined ? [] : [`report: ${say(file)}`])),
  ]
  return [`${startedAt.replace('T', ' ').slice(0, 16)} UTC`, ...links].join(' · ')
}
