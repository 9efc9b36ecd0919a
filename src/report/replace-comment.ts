// One comment for all runs that are about the same, of which the newest is shown.
import { countChanges } from './count-changes.ts'
import type { Report } from './report.ts'

/** The first line of a comment, by which a later run finds it. */
export function markerOf(id: string): string {
  return `<!-- mesh-canary ${id} -->`
}

const asOfLine = /^<!-- as of (\S+) -->$/m

/** The second line: what a comment is as of. */
export function asOfText(report: Report): string {
  return `<!-- as of ${asOf(report)} -->`
}

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

/** What replacing a comment needs of a platform. `own`: those of this program's account that begin with the marker. */
export type CommentApi = {
  own: (marker: string) => Promise<{ id: number; body: string }[]>
  /** Must not be repeated after an error: the platform may have written the comment nevertheless. */
  create: (body: string) => Promise<unknown>
  update: (id: number, body: string) => Promise<unknown>
  remove: (id: number) => Promise<unknown>
}

/** `marker`: how the body begins. Returns false if there is one of a later result already. @throws the API's error */
export async function replaceComment(api: CommentApi, marker: string, body: string): Promise<boolean> {
  const { update, remove, isOutdated } = commentChange(await api.own(marker), body)
  if (isOutdated) return false
  await (update === undefined ? api.create(body) : api.update(update, body))
  for (const id of remove) await api.remove(id)
  return true
}
