// What a pipeline commits for a release when Argo CD or Flux owns stable, and the wait until stable has it.
import { isDeepStrictEqual } from 'node:util'
import type { Cluster } from '../cluster/client.ts'
import { titleOf, type Container, type Kind, type KubeObject, type Workload } from '../cluster/objects.ts'
import { NotCommitted } from '../canary/controller/context.ts'
import { releaseHash, withoutReloads } from '../canary/workload/fingerprint.ts'
import type { Clock } from '../runtime/clock.ts'
import { poll } from '../runtime/retry.ts'
import { gitopsState, type GitopsState } from './gitops-state.ts'
import { withImages } from './images.ts'
import { hasSameData } from './manifests.ts'
import type { Release } from './plan.ts'

/** `images`: of the containers that change. `patch`: for the Deployment, as Kustomize and `kubectl patch` take it. */
export type Commit = { service: string; images: string[]; patch: object }

/** Pure. */
export function commitOf({ plan, stable, template }: Release): Commit {
  const { name, namespace = '' } = stable.metadata
  const [before, after] = [stable.spec.template.spec, template.spec]
  const containers = changedImages(before.containers, after.containers)
  const initContainers = changedImages(before.initContainers, after.initContainers)
  const images = [...initContainers, ...containers].map(({ image }) => image)
  const spec = { ...(initContainers.length > 0 ? { initContainers } : {}), containers }
  return {
    service: plan.service,
    images: [...new Set(images)],
    patch: {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name, namespace },
      spec: { template: plan.manifests ? { $patch: 'replace', ...template } : { spec } },
    },
  }
}

function changedImages(before: readonly Container[] = [], after: readonly Container[] = []) {
  return after.flatMap(({ name, image = '' }) =>
    before.some((each) => each.name === name && each.image === image) ? [] : [{ name, image }],
  )
}

const intervalMs = 2_000

/**
 * Returns stable's Deployment with the release, which may not be rolled out yet. `note`: gets each new state of the
 * controller that keeps the commit from it.
 * @throws NotCommitted after the time limit; Error if more was committed than the canary ran
 */
export async function waitForCommit(
  cluster: Cluster,
  release: Release,
  { note, signal, clock }: { note: (line: string) => void; signal: AbortSignal; clock: Clock },
): Promise<Workload> {
  const { plan, stable } = release
  let state: GitopsState | undefined
  const read = async () => {
    const now = await committed(cluster, release)
    if (now) return now
    const before = state?.text
    state = await gitopsState(cluster, stable)
    if (state?.isFault && state.text !== before) note(`the release cannot arrive from Git: ${state.text}`)
    return undefined
  }
  const limits = { limitMs: plan.commitTimeout, intervalMs, signal, clock }
  const now = await poll(read, (found) => found !== undefined, limits)
  if (!now) throw new NotCommitted(explainMissing(release, state))
  requireSame(now, release)
  return now
}

function explainMissing({ plan, stable }: Release, state: GitopsState | undefined): string {
  const wait = plan.commitTimeout > 0 ? ` within ${plan.commitTimeout / 1_000} s` : ' yet'
  const why = state ? ` (${state.text})` : ''
  const remedy = state?.isFault ? 'repair that, commit the release if it is not committed' : 'commit it'
  return (
    `Deployment/${stable.metadata.name} has not got the release from Git${wait}${why}, and the canary keeps all the ` +
    `traffic: ${remedy}, and run again`
  )
}

/** Stable's Deployment, if it and all that its pods read are what the release says. */
async function committed(cluster: Cluster, release: Release): Promise<Workload | undefined> {
  const { name, namespace } = release.stable.metadata
  const now = await cluster.get<Workload>('Deployment', namespace, name)
  if (!now || !hasRelease(now, release)) return undefined
  for (const object of release.configs.stable) {
    const live = await cluster.get<KubeObject>(object.kind as Kind, namespace, object.metadata.name)
    if (!live || !hasSameData(live, object)) return undefined
  }
  return now
}

/** A release of images says nothing about the rest of the template. */
function hasRelease({ spec }: Workload, { plan, stable, template }: Release): boolean {
  if (plan.manifests) return releaseHash(spec.template) === releaseHash(template)
  return releaseHash(spec.template) === releaseHash(withImages(spec.template, plan, titleOf(stable)))
}

/** Labels and annotations may differ: charts write the version there. */
function requireSame({ metadata, spec: { template } }: Workload, release: Release): void {
  if (isDeepStrictEqual(withoutReloads(template).spec, withoutReloads(release.template).spec)) return
  throw new Error(
    `Deployment/${metadata.name} has the release from Git, and other changes that the canary did not run; the traffic stays ` +
      'on the canary: if they are right, run again, and the traffic moves to stable; else revert them',
  )
}
