// The comment on a pull request, or the note on a merge request: what a run would do or did, in Markdown. Pure.
import { withCluster } from '../runtime/cluster-text.ts'
import { plural } from '../runtime/plural.ts'
import type { ExperimentReport } from './experiment-report.ts'
import { canaryName, experimentName, headline, headlineText, verdictName } from './headline.ts'
import { bullets, codeBlock, folded, joinWithin, leftOutNote } from './markdown.ts'
import { plainText } from './plain-text.ts'
import { meshState, planCount, planLines, policyState, withoutCreated } from './plan-rows.ts'
import { chart } from './promotion-summary.ts'
import { asOfText } from './replace-comment.ts'
import type { PlanRow, PromotionReport, Report } from './report.ts'

export type CommentLinks = {
  /** The one that the comment is about. */
  commit?: string | undefined
  /** The page of the run. */
  run?: string | undefined
  /** The paths of the reports. */
  html?: string | undefined
  json?: string | undefined
  /** Where the users' requests arrive. */
  environment?: string | undefined
}

/** GitHub refuses a body of more than 65,536 characters. */
const commentLimitBytes = 60_000
const blockLimitBytes = 24_000
const promotionLimit = 12
const lineLimit = 20

/** Begins with the marker. */
export function commentBody(report: Report, marker: string, links: CommentLinks): string {
  const { promotions, experiments = [], warnings, error } = report
  const shown = promotions.slice(0, promotionLimit)
  const parts = [
    `${marker}\n${asOfText(report)}\n### ${plainText(headlineText(report))}`,
    error === undefined ? reasonPart(report) : quote(error.split('\n')),
    ...shown.map((each) => promotionPart(each, promotions.length > 1)),
    promotions.length > shown.length ? `… and ${promotions.length - shown.length} more canaries` : '',
    ...experiments.slice(0, lineLimit).map(experimentPart),
    experiments.length > lineLimit ? `… and ${experiments.length - lineLimit} more experiments` : '',
    ...(report.clusters ?? [{ name: undefined, report }]).flatMap(({ name, report }) => planParts(report, name)),
    warnings.length > 0 ? folded(plural(warnings.length, 'warning'), firstBullets(warnings)) : '',
  ]
  const last = `${linksLine(report, links)}\n`
  const room = commentLimitBytes - Buffer.byteLength(last) - 2
  return `${joinWithin(room, parts.filter(Boolean), describeLeftOut)}\n${last}`
}

/** Of a promotion or an experiment, its own part says it. */
function reasonPart(report: Report): string {
  const { verdict, reason } = headline(report)
  const hasOwnPart = report.promotions.length + (report.experiments ?? []).length > 0
  return hasOwnPart || reason === undefined ? '' : `**${verdict}**: ${plainText(reason)}`
}

const describeLeftOut = (count: number) => leftOutNote(count, 'a comment has little room: the page of the run has all')

function promotionPart(report: PromotionReport, isOneOfSeveral: boolean): string {
  const { verdict, reason, userRequests, engineVerdict } = report
  // No line begins with a name, because GitLab takes a slash there for a command.
  const name = isOneOfSeveral ? `Canary ${plainText(canaryName(report))}: ` : ''
  const controller = engineVerdict === undefined ? '' : `the controller: ${verdictName(engineVerdict)}; `
  const requests = `${userRequests.failed} of ${userRequests.total} requests of users failed`
  return [`${name}**${verdictName(verdict)}**: ${plainText(reason)} (${controller}${requests})`, chart(report)]
    .filter(Boolean)
    .join('\n\n')
}

function experimentPart(report: ExperimentReport): string {
  const { verdict, reason } = report
  return `Experiment ${plainText(experimentName(report))}: **${verdict}**: ${plainText(reason)}`
}

/** As collapsed diffs, without what a first installation creates. */
function planParts(report: Report, cluster?: string): string[] {
  const { dryRun, plan = [], meshPlan, rendered, removed = [] } = report
  const part = (title: string, body: string) => folded(plainText(withCluster(cluster, title)), body)
  const diff = (what: string, rows: PlanRow[], state: ReturnType<typeof policyState>) =>
    rows.length === 0 ? [] : [part(`${what}: ${planCount(rows, state)}`, block('diff', planLines(rows)))]
  const removal = `${plural(removed.length, 'object')} ${dryRun ? 'would be removed' : 'removed'}`
  return [
    ...diff('Control plane', withoutCreated(meshPlan), meshState(report)),
    ...diff('Policies', plan, policyState(report)),
    ...(removed.length > 0 ? [part(removal, firstBullets(removed))] : []),
    ...(rendered === undefined ? [] : [part('Objects', block('yaml', rendered.trimEnd().split('\n')))]),
  ]
}

/** GitLab takes a line that begins with a slash for a command, and may do so inside of a block. */
function block(language: string, lines: string[]): string {
  const oneLine = lines.flatMap((line) => line.split(/\r\n|[\r\n]/))
  return codeBlock(
    language,
    oneLine.map((line) => line.replace(/^(?=\s*\/)/, '\u200b')),
    blockLimitBytes,
  )
}

function firstBullets(lines: readonly string[]): string {
  return bullets(firstLines(lines), plainText)
}

function quote(lines: readonly string[]): string {
  return firstLines(lines)
    .map((line) => `> ${plainText(line)}`)
    .join('\n>\n')
}

function firstLines(lines: readonly string[]): string[] {
  const more = lines.length > lineLimit ? [`… and ${lines.length - lineLimit} more`] : []
  return [...lines.slice(0, lineLimit), ...more]
}

function linksLine({ startedAt }: Report, { commit, run, html, json, environment }: CommentLinks): string {
  const address = (url: string) => encodeURI(url).replace(/[()]/g, (sign) => (sign === '(' ? '%28' : '%29'))
  const links = [
    ...(commit === undefined ? [] : [`commit \`${commit.replace(/[^\da-f]/gi, '').slice(0, 12)}\``]),
    ...(run === undefined ? [] : [`[the run](${address(run)})`]),
    ...(environment === undefined ? [] : [`[the application](${address(environment)})`]),
    ...[html, json].flatMap((file) => (file === undefined ? [] : [`report: ${plainText(file)}`])),
  ]
  return [`${startedAt.replace('T', ' ').slice(0, 16)} UTC`, ...links].join(' · ')
}
