// Writes the API definition of a plan, and takes it back if users do not reach the application by it.
import { randomBytes } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { poll } from '../../runtime/retry.ts'
import {
  changesOf,
  findConflictingApi,
  isSameRouting,
  lastVerifiedRouting,
  markOf,
  routingOf,
  settingsChanged,
  wasCreatedByConfig,
  withLastVerified,
  withRouting,
  type TykDefinition,
} from './definition.ts'
import { titleOfApi, type TykPlan } from './plan.ts'

export async function applyTyk({ api, action, definition }: TykPlan): Promise<void> {
  if (action === 'unchanged') return
  if (action === 'create') await api.create(definition)
  if (action === 'change') await api.replace(definition)
  if (action === 'delete') await api.remove(definition.api_id)
  await api.reload()
}

/**
 * Keeps in the definition that users reach the application by it. So a later run knows what it may return to. Returns why
 * that is not possible, if so.
 */
export async function recordVerified(plan: TykPlan): Promise<string | undefined> {
  const { route, definition } = plan
  const { live, obstacle } = await readAgain(plan)
  if (!live || obstacle !== undefined)
    return `the API ${titleOfApi(definition)} ${obstacle}: so no later run can return to what this one has verified`
  const verified = withLastVerified(live, routingOf(route))
  if (changesOf(live, verified).length > 0) await replace(plan, verified)
  return undefined
}

/** `text`: what was done, continuing a sentence. `isChanged`: what the plan has changed stays. */
type Undo = { text: string; isChanged: boolean }

/**
 * After a failed probe: removes a new definition, or returns to the routing that was last verified, also by an earlier
 * run. What somebody else has written does not come back, and what somebody writes meanwhile stays. Does not end with the
 * run, which may be cancelled.
 */
export async function undoTyk(plan: TykPlan, limitMs: number): Promise<Undo> {
  const { api, action, definition } = plan
  // Tyk shows and changes only what it has loaded, and that may still be the definition from before.
  await api.reload()
  const isLoaded = ({ live }: Reading) =>
    action === 'delete' ? !live : live !== undefined && markOf(live) === markOf(definition)
  const read = await poll(() => readAgain(plan), isLoaded, { limitMs, intervalMs: 250 })
  // One that another run has written under the same id stays.
  if (action === 'create' && (!read.live || read.obstacle === undefined)) return removeAgain(plan)
  if (!isLoaded(read)) return notKnown
  if (!read.live) return { text: '', isChanged: true }
  if (read.obstacle !== undefined)
    return { text: `it stays as it is in Tyk now, because the API ${read.obstacle}`, isChanged: false }
  return returnToLastVerified(plan, read.live, read.all)
}

const notKnown: Undo = { text: 'it is not known what Tyk serves', isChanged: true }

async function removeAgain({ api, definition }: TykPlan): Promise<Undo> {
  const isRemoved = await api.remove(definition.api_id)
  await api.reload()
  return isRemoved ? { text: 'the new API was removed again', isChanged: false } : notKnown
}

/** `obstacle`: why nothing of it may be changed. */
type Reading = { all: TykDefinition[]; live?: TykDefinition; obstacle?: string }

/** What Tyk has loaded now, because the plan may be minutes old. */
async function readAgain({ api, route, definition }: TykPlan): Promise<Reading> {
  const all = await api.list()
  const live = all.find(({ api_id: id }) => id === definition.api_id)
  if (!live) return { all, obstacle: 'is not in Tyk any more' }
  const isOurs = markOf(live) === markOf(definition) && wasCreatedByConfig(route, [route.owner.owner], live)
  return { all, live, ...(isOurs ? {} : { obstacle: 'is not the one that this run has written' }) }
}

async function returnToLastVerified(plan: TykPlan, live: TykDefinition, all: TykDefinition[]): Promise<Undo> {
  const { route } = plan
  const stays = (text: string): Undo => ({ text: `the API stays ${text}`, isChanged: true })
  const lastVerified = lastVerifiedRouting(live)
  if (!isSameRouting(route, live))
    return stays('as it is now, because somebody has changed its routing in Tyk meanwhile')
  if (!lastVerified)
    return stays('as it is now, because no run has seen users get through it, so there is nothing to return to')
  if (isDeepStrictEqual(lastVerified, routingOf(route)))
    return stays('as the config says, because users have reached the application this way before')
  const conflicting = findConflictingApi(lastVerified, live, all)
  if (conflicting) return stays(`as it is now, because ${titleOfApi(conflicting)} listens at its place from before`)
  const restored = withRouting(live, lastVerified, randomBytes(8).toString('hex'))
  await replace(plan, restored)
  const text = 'restored the path, domain and target that last worked'
  const changed = settingsChanged(plan.before, restored)
  // Others may have changed more meanwhile.
  const kept = settingsChanged(plan.before, plan.definition).filter((field) => changed.includes(field))
  if (kept.length === 0) return { text, isChanged: false }
  return { text: `${text}; these stay as the config says: ${kept.join(', ')}`, isChanged: true }
}

async function replace({ api }: TykPlan, definition: TykDefinition): Promise<void> {
  await api.replace(definition)
  await api.reload()
}
