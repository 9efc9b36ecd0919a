// Finds templates that are valid YAML, such as `host: "${APP}"`. Pure.
import { templateFault, templateMark } from '../../yaml/templates.ts'
import type { ManifestFault } from './manifest-faults.ts'

/** Fields whose texts Istio passes on, to programs in which the marks of a template mean something else. */
const freeTexts = ['annotations', 'patch', 'pluginConfig', 'lua', 'directResponse', 'jwks']

/** One fault for each text or key that is a template. */
export function templateFaults(value: unknown, at: ManifestFault['at'] = []): ManifestFault[] {
  if (typeof value === 'string') return faultOf(value, at)
  if (Array.isArray(value)) return value.flatMap((item, i) => templateFaults(item, [...at, i]))
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value)
    .filter(([key]) => !freeTexts.includes(key))
    .flatMap(([key, each]) => [...faultOf(key, [...at, key]), ...templateFaults(each, [...at, key])])
}

function faultOf(text: string, at: ManifestFault['at']): ManifestFault[] {
  const mark = templateMark(text)
  return mark === undefined ? [] : [{ at, says: templateFault(mark) }]
}
