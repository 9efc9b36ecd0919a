// Writes the API definition of a plan, and takes it back if users do not reach the application by it.
import { randomBytes } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { changesOf, lastVerifiedRouting, markOf, routingOf, wanted, type TykDefinition } from './definition.ts'
import { titleOfApi, type TykPlan } from './plan.ts'

export async function applyTyk({ api, action, definition }: TykPlan): Promise<void> {
  if (action === 'unchanged') return
  if (action === 'create') await api.create(definition)
  if (action === 'change') await api.replace(definition)
  if (action === 'delete') await api.remove(definition.api_id)
  await api.reload()
}

/** Keeps in the definition that users reach the application by it. So a later run knows what it may return to. */
export async function recordVerified(plan: TykPlan): Promise<void> {
  const { route, definition } = plan
  const verified = wanted(route, definition, {
    id: definition.api_id,
    mark: markOf(definition) ?? '',
    lastVerified: routingOf(route),
  })
  if (changesOf(definition, verified).length > 0) await replace(plan, verified)
}

/**
 * After a failed probe: removes a new definition, or returns to the routing that was last verified, also by an earlier run. What somebody
 * else has written does not come back. Returns what it did, continuing a sentence; empty if nothing was to do.
 */
export async function undoTyk(plan: TykPlan): Promise<string> {
  const { api, action, definition } = plan
  if (action === 'create') {
    await api.remove(definition.api_id)
    await api.reload()
    return 'the new API was removed again'
  }
  return action === 'change' ? returnToLastVerified(plan) : ''
}

async function returnToLastVerified(plan: TykPlan): Promise<string> {
  const { route, definition, conflictAt } = plan
  const lastVerified = lastVerifiedRouting(definition)
  if (!lastVerified)
    return 'the API stays as it is now, because no run has seen users get through it, so there is nothing to return to'
  if (isDeepStrictEqual(lastVerified, routingOf(route)))
    return 'the API stays as the config says, because users have reached the application this way before'
  const conflicting = conflictAt(lastVerified)
  if (conflicting)
    return `the API stays as it is now, because ${titleOfApi(conflicting)} listens at its place from before`
  await replace(
    plan,
    wanted({ ...route, ...lastVerified }, definition, { id: '', mark: randomBytes(8).toString('hex') }),
  )
  return 'restored the path, domain and target that last worked'
}

async function replace({ api }: TykPlan, definition: TykDefinition): Promise<void> {
  await api.replace(definition)
  await api.reload()
}
