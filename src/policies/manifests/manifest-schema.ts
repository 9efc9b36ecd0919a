// Checks the fields of a manifest against the CRDs of Istio and of the Gateway API, without a cluster. The table of
// fields comes from dev/crd-fields.ts. What a CRD says beyond fields and types, the API server and istiod check.
import { minVersion } from 'semver'
import { groupOf, type Kind, type KubeObject } from '../../cluster/objects.ts'
import { FieldChecker, metadataFields, minorOf, type FieldFault } from './field-checker.ts'
import table from './crd-fields.json' with { type: 'json' }

const definitions: Record<string, string>[] = table.definitions
const kinds: Record<string, string> = table.kinds

/** Kinds that Istio accepts without a `spec`, but that have no meaning without one. */
const needSpec: Kind[] = ['VirtualService', 'DestinationRule']

/** `istioVersion`: of the config, a version or a range. Fields are not checked against a version newer than the table. */
export function fieldFaults(kind: Kind, object: KubeObject, istioVersion = 'latest'): FieldFault[] {
  const { spec = '', ...content } = definitions[Number(kinds[kind]!.slice(1))]!
  const checker = new FieldChecker(definitions, apiName(object.apiVersion), versionsOf(istioVersion))
  checker.checkMap(metadataFields, object.metadata, ['metadata'])
  const needed = needSpec.includes(kind) ? `${spec}!` : spec
  checker.checkMap(
    { ...content, spec: needed, apiVersion: 'string', kind: 'string', metadata: 'any', status: 'any' },
    object,
    [],
  )
  return checker.faults
}

function apiName(apiVersion: string): string {
  return groupOf(apiVersion).endsWith('.istio.io') ? `Istio ${table.istio.join(' and ')}` : 'the Gateway API'
}

/** Undefined for `latest`. */
function versionsOf(istioVersion: string): { oldest: number; newest: number } | undefined {
  const oldest = istioVersion === 'latest' ? undefined : minVersion(istioVersion)?.minor
  return oldest === undefined ? undefined : { oldest, newest: minorOf(table.istio.at(-1)!) }
}
