// What Istio's project says of its minor versions: for how long, and with which Kubernetes. As of November 2026; of newer ones nothing is known here.
import { major, minor, minVersion, SemVer } from 'semver'

/** Oldest and newest minor version of Kubernetes 1. */
const kubernetes: Record<number, [oldest: number, newest: number]> = { 23: [27, 30], 30: [32, 36], 31: [32, 36] }
/** Minor versions of Istio 1 that get fixes. */
const supported = [30, 31]
const lastEnded = 'October 2026'

/**
 * The range of Kubernetes versions, such as 1.32 to 1.36, that a version of Istio is tested with; of a range of versions the oldest counts, of
 * `latest` the newest known. Undefined where it is not known.
 */
export function supportedKubernetes(istioVersion: string): { oldest: string; newest: string } | undefined {
  const least = istioVersion === 'latest' ? new SemVer(`1.${Math.max(...supported)}.0`) : minVersion(istioVersion)
  const range = least?.major === 1 ? kubernetes[least.minor] : undefined
  return range && { oldest: `1.${range[0]}`, newest: `1.${range[1]}` }
}

/** What is out of support: a sentence each. `server` as the API server says it: `v1.37.2`. */
export function supportWarnings(istioVersion: string, server: string): string[] {
  const range = supportedKubernetes(istioVersion)
  const served = /^v?1\.(\d+)/.exec(server)?.[1]
  const outside =
    range &&
    served !== undefined &&
    (Number(served) < minor(`${range.oldest}.0`) || Number(served) > minor(`${range.newest}.0`))
  const ended = major(istioVersion) === 1 && minor(istioVersion) < supported[0]!
  return [
    ...(ended
      ? [
          `istio.version: ${istioVersion} gets no fixes any more: support of Istio 1.${minor(istioVersion)} ended ${minor(istioVersion) === supported[0]! - 1 ? `in ${lastEnded}` : `before ${lastEnded}`}; supported are ${supported.map((each) => `1.${each}`).join(' and ')}`,
        ]
      : []),
    ...(outside
      ? [
          `istio.version: ${istioVersion} is tested with Kubernetes ${range.oldest} to ${range.newest}, and this cluster runs ${server}`,
        ]
      : []),
  ]
}
