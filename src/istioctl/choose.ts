// Resolves the version of the config to an exact one: a matching version that is installed or cached, or the newest
// matching release.
import { compareBuild, rcompare, satisfies, valid } from 'semver'
import { ConfigError } from '../config/error.ts'
import { plural } from '../runtime/plural.ts'
import { withDeadline } from '../runtime/timeout.ts'
import { cachedVersions } from '../tools/tool-cache.ts'
import { istioctlTool } from './release.ts'
import { releasesOf, type ReleaseQuery } from './releases.ts'

/**
 * `because`: one sentence on how it was found; undefined for an exact version. `warning`: the list of releases could
 * not be read.
 */
export type Choice = { version: string; because?: string; warning?: string }

export type VersionRequest = {
  /** An exact version, a range, or `latest`. */
  spec: string
  mirror: string
  /** Time limit for reading the list of releases. */
  limitMs: number
  checkLatest: boolean
  /** Returns the version of the mesh in the cluster. */
  installed: () => Promise<string | undefined>
}

/**
 * @throws ConfigError if no release matches, or if the list of releases cannot be read and nothing in the tool cache
 * matches.
 */
export async function choose(request: VersionRequest, query: ReleaseQuery): Promise<Choice> {
  const { spec } = request
  if (valid(spec) !== null) return { version: spec }
  const local = await chooseLocal(request)
  if (local) return local
  try {
    return await chooseRelease(request, query)
  } catch (error) {
    const cached = error instanceof ConfigError ? newest(cachedVersions(istioctlTool), spec) : undefined
    if (cached === undefined) throw error
    return {
      version: cached,
      warning:
        `${(error as Error).message}. Using ${cached}, the newest in the tool cache that matches ${spec}; ` +
        'there may be a newer one',
    }
  }
}

function choiceOf(spec: string, version: string, how: string): Choice {
  return { version, because: `istio.version: ${spec} → ${version}, ${how}` }
}

async function chooseLocal({ spec, checkLatest, installed }: VersionRequest): Promise<Choice | undefined> {
  if (checkLatest || spec === 'latest') return undefined
  const live = await installed()
  if (live !== undefined && matches(live, spec)) return choiceOf(spec, live, 'which is installed')
  const cached = newest(cachedVersions(istioctlTool), spec)
  return cached === undefined ? undefined : choiceOf(spec, cached, 'the newest in the tool cache')
}

async function chooseRelease({ spec, mirror, limitMs }: VersionRequest, query: ReleaseQuery): Promise<Choice> {
  const signal = withDeadline(
    query.signal,
    limitMs,
    () =>
      new ConfigError(
        `istio.version: reading the list of releases timed out after ${limitMs / 1000} s (\`limits.download\`); ` +
          'check the network of the runner, or give an exact version',
      ),
  )
  const { versions, from } = await releasesOf(mirror, { ...query, signal })
  const found = newest(versions, spec)
  if (found !== undefined) return choiceOf(spec, found, `of ${plural(versions.length, 'release')}`)
  throw new ConfigError(
    `istio.version: none of the ${versions.length} releases at ${from} matches ${spec}; ` +
      `the newest are ${versions.toSorted(rcompare).slice(0, 3).join(', ')}`,
  )
}

/** A prerelease matches only a range that names a prerelease of the same version. */
function matches(version: string, spec: string): boolean {
  return valid(version) !== null && satisfies(version, spec === 'latest' ? '*' : spec)
}

function newest(versions: string[], spec: string): string | undefined {
  return versions
    .filter((version) => matches(version, spec))
    .sort(compareBuild)
    .at(-1)
}
