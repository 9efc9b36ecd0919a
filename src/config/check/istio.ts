// Contradictions in the section `istio`.
import { valid } from 'semver'
import type { Config } from '../schema.ts'
import type { Fault } from './fault.ts'

export function istioFaults({ istio }: Config): Fault[] {
  if (!istio) return []
  const { tag, revision, version, sha256 } = istio
  const tagFault = tag === undefined ? undefined : faultOfTag(tag, revision)
  const isRange = valid(version) === null
  return [
    ...(tagFault === undefined ? [] : [{ path: ['istio', 'tag'], message: tagFault }]),
    ...(sha256 !== undefined && isRange ? [{ path: ['istio', 'sha256'], message: checksumOfRange(version) }] : []),
  ]
}

function faultOfTag(tag: string, revision: string | undefined): string | undefined {
  if (revision === undefined) return `the tag ${tag} points to no revision; set \`revision\` as well`
  if (tag !== revision || tag === 'default') return undefined
  return `${tag} is also the \`revision\`, which the tag would hide; choose another tag, or remove it`
}

function checksumOfRange(version: string): string {
  return (
    `the checksum fits one version only, and \`version\` (${version}) can match several; ` +
    'set an exact version, or remove the checksum'
  )
}
