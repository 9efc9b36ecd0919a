// What a run writes at its end: the last status of its own deployment, and that older ones have no traffic any more.
import {
  createDeployment,
  hadTraffic,
  leftNoTraffic,
  ownDeployments,
  setStatus,
  type Deployment,
  type DeploymentStatus,
  type DeploymentTarget,
} from './deployment.ts'
import type { Github } from './octokit.ts'

/**
 * What is still to be told. `deploymentId`: of the run's own deployment. `isCreatedLate`: at the end, so its id does not
 * say when the run began. `hasFinalStatus`: or the run has no deployment of its own. `whyOlderAreInactive`: why the older
 * deployments have no traffic any more, if so.
 */
export type DeploymentEnd = {
  target: DeploymentTarget
  deploymentId?: number
  isCreatedLate?: true
  status?: DeploymentStatus
  hasFinalStatus?: true
  whyOlderAreInactive?: string
}

const overtakenStatus: DeploymentStatus = { state: 'inactive', description: 'A later deployment has replaced it' }

/**
 * GitHub may hear of the end of a run long after it, and other runs may have ended since. A run that a newer one has
 * overtaken says nothing green, and deactivates none. It looks once more after its own status, so that of two runs that
 * say `success` at once, the older one sees the newer one, or is seen by it.
 * `save`: called with what has been done.
 * @throws the API's error
 */
export async function endDeployment(
  github: Github,
  end: DeploymentEnd,
  save: (done: Partial<DeploymentEnd>) => void,
): Promise<void> {
  const own = end.hasFinalStatus ? end : await writeOwnStatus(github, end, save)
  const { target, deploymentId, whyOlderAreInactive: description } = own
  if (description === undefined) return
  const all = await ownDeployments(github, target)
  if (isOvertaken(own, all)) {
    if (stateOf(deploymentId, all) === 'SUCCESS') await setStatus(github, target, deploymentId!, overtakenStatus)
    return
  }
  for (const { id } of withoutTraffic(own, all)) await setStatus(github, target, id, { state: 'inactive', description })
}

/**
 * The older ones that look active. What a rollback moves is the traffic of the newest one that may have some: of an open
 * one, or of one that was promoted last. A promoted one before it stays, because its version is the stable one that all
 * traffic returns to.
 */
function withoutTraffic(own: DeploymentEnd, all: Deployment[]): Deployment[] {
  const older = all.filter((each) => isOlder(own, each)).toSorted((a, b) => beginOf(b) - beginOf(a))
  const isRollback = own.deploymentId === undefined
  const newest = older.find((each) => each.state !== 'INACTIVE' && !leftNoTraffic(each))
  return older.filter((each) =>
    each.state === 'SUCCESS' ? !isRollback || each === newest : [undefined, 'IN_PROGRESS'].includes(each.state),
  )
}

/** Creates the deployment if that was not possible before. */
async function writeOwnStatus(
  github: Github,
  end: DeploymentEnd,
  save: (done: Partial<DeploymentEnd>) => void,
): Promise<DeploymentEnd> {
  const { target, status } = end
  const all = await ownDeployments(github, target)
  const found: DeploymentEnd =
    end.deploymentId === undefined ? { ...end, ...unanswered(target, all), isCreatedLate: true } : end
  const isGreen = status?.state === 'success' || status?.state === 'in_progress'
  const last = isGreen && isOvertaken(found, all) ? overtakenStatus : status!
  const own = {
    ...found,
    deploymentId: found.deploymentId ?? (await createDeployment(github, target, { began: target.began })),
  }
  save(own)
  if (last.state !== 'inactive' || stateOf(own.deploymentId, all) !== 'INACTIVE')
    await setStatus(github, target, own.deploymentId, last)
  save({ hasFinalStatus: true })
  return own
}

/** GitHub has created this run's deployment, but its answer was lost. The times are exact to a second or two. */
function unanswered({ run, began }: DeploymentTarget, all: Deployment[]): { deploymentId?: number } {
  const isOurs = ({ sha, state, createdAt }: Deployment) =>
    sha === run.sha && state === undefined && createdAt > Date.parse(began) - 2_000
  const found = all.find(isOurs)
  return found ? { deploymentId: found.id } : {}
}

/** Another run's deployment is newer, and has or had the traffic; or it has made this one inactive. */
function isOvertaken(own: DeploymentEnd, all: Deployment[]): boolean {
  const newer = all.filter((each) => each.id !== own.deploymentId && !isOlder(own, each))
  return newer.some(hadTraffic) || stateOf(own.deploymentId, all) === 'INACTIVE'
}

function isOlder({ deploymentId, isCreatedLate, target }: DeploymentEnd, each: Deployment): boolean {
  if (deploymentId !== undefined && !isCreatedLate && each.began === undefined) return each.id < deploymentId
  return each.id !== deploymentId && beginOf(each) <= Date.parse(target.began)
}

function beginOf({ began, createdAt }: Deployment): number {
  return began ?? createdAt
}

function stateOf(deploymentId: number | undefined, all: Deployment[]): string | undefined {
  return all.find(({ id }) => id === deploymentId)?.state
}
