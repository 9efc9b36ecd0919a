// Completes the config of a release of an image or of manifests: with the names of its versions, their subsets, and `after`.
// Pure.
import { canariesOf, createdCanaryLabel, releaseKeysOf } from './names.ts'
import type { CanaryConfig, Config } from './schema.ts'

type Releasing = Pick<Config, 'canary' | 'canaries' | 'services'>
type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/**
 * The subsets are those while no release is under way: the subset of stable selects all pods of the service, so that a
 * change of their labels cuts nobody off.
 */
export function withReleaseDefaults<C extends Releasing>(config: C): C {
  const result: Mutable<Releasing> = { ...config }
  if (config.canary) result.canary = withVersions(config.canary)
  if (config.canaries) result.canaries = config.canaries.map(withVersions)
  for (const plan of canariesOf(result).filter((each) => releaseKeysOf(each).length > 0)) {
    const { service, stable, canary } = plan
    const subsets = { [stable.name]: {}, [canary.name]: { [createdCanaryLabel]: service } }
    const policy = result.services?.[service]
    result.services = {
      ...result.services,
      [service]: { ...policy, subsets: { ...policy?.subsets, ...subsets } },
    }
  }
  return result as C
}

/** The plan with the names of the versions and with what follows the last step. */
export function withVersions(plan: CanaryConfig): CanaryConfig {
  // The names of generated subsets must not depend on whether a run sets an image.
  if (releaseKeysOf(plan).length === 0 && !plan.engine.generate) return { ...plan, after: plan.after ?? 'keep' }
  const named = (version: CanaryConfig['stable'], byDefault: string, name: string) =>
    version.name === byDefault ? { ...version, name } : version
  return {
    ...plan,
    stable: named(plan.stable, 'v1', 'stable'),
    canary: named(plan.canary, 'v2', 'canary'),
    after: plan.after ?? 'adopt',
  }
}
