// Chooses how the proxies tell the pods of a canary from those of stable. Pure.
import type { Labels } from '../canary/workload/selectors.ts'
import { createdCanaryLabel, createdCanaryName } from '../config/names.ts'

export type Distinction =
  /** By subset: stable's pods have a label of their own, and the canary's pods have another value for it. */
  | { by: 'subset'; key: string; value: string }
  /** By a Service for the canary: its pods have other values for labels that stable's Service selects by. */
  | { by: 'service'; changed: Labels }

/**
 * `now`, `later`: the labels of stable's pods before and after the release. `service`, `deployment`: the labels by which
 * stable's Service and Deployment select. `isScaled`: an autoscaler counts the pods that the Deployment selects.
 */
export type PodLabels = { now: Labels; later: Labels; service: Labels; deployment: Labels; isScaled: boolean }

const valueOfCanary = 'canary'

export function distinguish(name: string, pods: PodLabels): Distinction {
  const key = ownLabel(pods)
  if (key !== undefined) return { by: 'subset', key, value: pods.now[key]! }
  return { by: 'service', changed: { [selectedLabel(pods)]: createdCanaryName(name) } }
}

const versionKey = /(^|[./_-])(version|revision|rev|hash|commit|sha|build|tag|track|slot|colou?r)$/i
const versionValue = /^v?\d+(\.\d+)+([-+.]\S*)?$|^(?=.*\d)[0-9a-f]{7,64}$/i

/** The label of stable's pods that looks most like the name of a version, and that nothing selects them by. */
function ownLabel({ now, later, service, deployment, isScaled }: PodLabels): string | undefined {
  const keys = Object.keys(now).filter((key) => {
    const isFree = service[key] === undefined && now[key] !== valueOfCanary && later[key] !== valueOfCanary
    // The pods of both versions would be one group for the autoscaler, so it would scale stable by the canary's load.
    const isCounted = isScaled && deployment[key] === undefined
    return isFree && !isCounted && later[key] !== undefined
  })
  const isExact = (key: string) => key === 'version' || key === 'app.kubernetes.io/version'
  return (
    keys.find(isExact) ?? keys.find((key) => versionKey.test(key)) ?? keys.find((key) => versionValue.test(now[key]!))
  )
}

/** Istio names a workload by these labels in its metrics, so another one is better. */
const namingKeys = ['app', 'app.kubernetes.io/name', 'service.istio.io/canonical-name']

/** A label that the Service selects by; one that the Deployment selects by too, if there is one. */
function selectedLabel({ service, deployment }: PodLabels): string {
  const keys = Object.keys(service).sort((a, b) => namingKeys.indexOf(a) - namingKeys.indexOf(b))
  return keys.find((key) => deployment[key] !== undefined) ?? keys[0]!
}

/** The labels of the canary's pods, made of those of the template. */
export function canaryLabels(service: string, template: Labels, distinction: Distinction): Labels {
  const changed = distinction.by === 'subset' ? { [distinction.key]: valueOfCanary } : distinction.changed
  return { ...template, ...changed, [createdCanaryLabel]: service }
}
