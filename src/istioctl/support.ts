// Which minor versions of Istio get fixes, and which versions of Kubernetes each is tested with, according to the Istio
// project as of November 2026. Newer versions are not listed.
import { major, minor, minVersion, SemVer } from 'semver'

/** Minor version of Istio 1 → oldest and newest minor version of Kubernetes 1. */
const kubernetes: Record<number, [oldest: number, newest: number]> = { 23: [27, 30], 30: [32, 36], 31: [32, 36] }
/** Minor versions of Istio 1 that still get fixes. */
export const supported = [30, 31]
const lastEnded = 'October 2026'

/**
 * The Kubernetes versions that a version of Istio is tested with, such as 1.32 to 1.36. A range of Istio versions
 * counts as its oldest one, and `latest` as the newest one listed. Undefined for a version that is not listed.
 */
export function supportedKubernetes(istioVersion: string): { oldest: string; newest: string } | undefined {
  const least = istioVersion === 'latest' ? new SemVer(`1.${Math.max(...supported)}.0`) : minVersion(istioVersion)
  const range = least?.major === 1 ? kubernetes[least.minor] : undefined
  return range && { oldest: `1.${range[0]}`, newest: `1.${range[1]}` }
}

/**
 * One sentence for each version that is out of support. `server`: the version as the API server reports it, such as
 * `v1.37.2`.
 */
export function supportWarnings(istioVersion: string, server: string): string[] {
  return [...endedSupport(istioVersion), ...untestedKubernetes(istioVersion, server)]
}

function endedSupport(istioVersion: string): string[] {
  const [oldest] = supported
  const version = minor(istioVersion)
  if (major(istioVersion) !== 1 || version >= oldest!) return []
  const when = version === oldest! - 1 ? `in ${lastEnded}` : `before ${lastEnded}`
  const alternatives = supported.map((each) => `1.${each}`).join(' or ')
  return [
    `istio.version: ${istioVersion} no longer gets fixes: support for Istio 1.${version} ended ${when}; ` +
      `move to a supported version (${alternatives})`,
  ]
}

function untestedKubernetes(istioVersion: string, server: string): string[] {
  const range = supportedKubernetes(istioVersion)
  const served = Number(/^v?1\.(\d+)/.exec(server)?.[1])
  if (!range || Number.isNaN(served)) return []
  if (served >= minor(`${range.oldest}.0`) && served <= minor(`${range.newest}.0`)) return []
  return [
    `istio.version: ${istioVersion} is tested with Kubernetes ${range.oldest} to ${range.newest}, ` +
      `and this cluster runs ${server}`,
  ]
}
