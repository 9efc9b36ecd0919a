// From the version that is asked for to the exact one: what is there and matches, or the newest release that does.
import { compareBuild, rcompare, satisfies, valid } from 'semver'
import { ConfigError } from '../config/error.ts'
import { inTime } from '../tools/http.ts'
import { versionsKept } from '../tools/tool-cache.ts'
import { istioctlTool } from './release.ts'
import { releasesOf, type ReleaseQuery } from './releases.ts'

/** `because`: a sentence on how it was found, undefined where there was nothing to choose; `warning`: what could not be asked. */
export type Choice = { version: string; because?: string; warning?: string }

export type VersionRequest = {
  /** An exact version, a range, or `latest`. */
  spec: string
  mirror: string
  /** How long the list of releases may take. */
  limitMs: number
  checkLatest: boolean
  /** The version that the mesh has. */
  installed: () => Promise<string | undefined>
}

/** @throws ConfigError when no release matches, or none can be known to. */
export async function choose(
  { spec, mirror, limitMs, checkLatest, installed }: VersionRequest,
  asking: ReleaseQuery,
): Promise<Choice> {
  if (valid(spec) !== null) return { version: spec }
  const told = (version: string, how: string) => ({ version, because: `istio.version: ${spec} → ${version}, ${how}` })
  if (!checkLatest && spec !== 'latest') {
    const live = await installed()
    if (live !== undefined && matches(live, spec)) return told(live, 'which is installed')
    const local = newest(versionsKept(istioctlTool), spec)
    if (local !== undefined) return told(local, 'the newest in the tool cache')
  }
  try {
    const late = () =>
      new ConfigError(
        `istio.version: the list of releases was not to be had within ${limitMs / 1000} s (\`limits.download\`); check the network of the runner, or give an exact version`,
      )
    const { versions, from } = await inTime(asking.signal, limitMs, late, (signal) =>
      releasesOf(mirror, { ...asking, signal }),
    )
    const found = newest(versions, spec)
    if (found !== undefined) return told(found, `of ${versions.length} release${versions.length === 1 ? '' : 's'}`)
    throw new ConfigError(
      `istio.version: none of the ${versions.length} releases at ${from} matches ${spec}; the newest are ${versions.toSorted(rcompare).slice(0, 3).join(', ')}`,
    )
  } catch (error) {
    const local = error instanceof ConfigError ? newest(versionsKept(istioctlTool), spec) : undefined
    if (local === undefined) throw error
    return {
      version: local,
      warning: `${(error as Error).message}. So ${local} is used, the newest in the tool cache that matches ${spec}; there may be a newer one`,
    }
  }
}

/** A prerelease only where the range names one of the same version. */
function matches(version: string, spec: string): boolean {
  return valid(version) !== null && satisfies(version, spec === 'latest' ? '*' : spec)
}

function newest(versions: string[], spec: string): string | undefined {
  return versions
    .filter((version) => matches(version, spec))
    .sort(compareBuild)
    .at(-1)
}
