// Checks that Istio supports the step between two versions, in place and side by side. Pure.
import { gt, minor, valid } from 'semver'
import { ConfigError } from '../config/error.ts'
import type { DesiredMesh } from './install.ts'
import type { ControlPlane } from './revisions.ts'

/**
 * Checks the step from each installed control plane to the desired one. Returns a warning for each allowed downgrade.
 * @throws ConfigError for a step that Istio does not support.
 */
export function checkUpgradeSteps(all: readonly ControlPlane[], { version, revision }: DesiredMesh): string[] {
  const others = all.filter((live) => valid(live.version) && valid(version) && live.version !== version)
  return others.flatMap((live) => {
    const from = `the control plane ${live.revision} runs ${live.version}`
    const isInPlace = live.revision === revision
    const fault = stepFault(minor(version) - minor(live.version), isInPlace, live.version, version)
    if (fault !== undefined) throw new ConfigError(`istio.version: ${from}, ${fault}`)
    return isInPlace && gt(live.version, version) ? [`${from} and is replaced by the older ${version}`] : []
  })
}

/** `minors`: how many minor versions the step goes up. */
function stepFault(minors: number, isInPlace: boolean, from: string, to: string): string | undefined {
  if (isInPlace && minors > 1)
    return (
      `and in place only an upgrade to the next minor version is supported, not to ${to}; upgrade one minor version ` +
      'at a time, or install it beside the old one with another `istio.revision` (two minor versions at a time)'
    )
  if (isInPlace && minors < 0)
    return (
      `and ${to} is older; to go back, point the namespace to a control plane of the old version ` +
      `(\`istio.revision\`), or set \`istio.version\` to ${from}`
    )
  if (Math.abs(minors) > 2)
    return `and beside it only up to two minor versions away are supported, not ${to}; upgrade in several steps`
  return undefined
}
