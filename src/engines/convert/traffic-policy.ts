// What an engine's objects say of a service beyond its canary: retries, time limit, load balancing and connection limits,
// in Istio's own form, as a section of `services`.
import type { Field } from './ledger.ts'
import { durationOf, durationText, wholeNumberOf } from './values.ts'

type Section = Record<string, unknown>

/** Of Istio, if a retry policy names no conditions. */
const istioRetryOn = ['connect-failure', 'refused-stream', 'unavailable', 'cancelled']

/** The keys of `services.<name>`: `timeout` and `retries`. */
export function routePolicy(timeout: Field, retries: Field): Section {
  const limit = durationOf(timeout)
  timeout.take()
  return { ...(limit === undefined ? {} : { timeout: durationText(limit) }), ...retrySection(retries, limit) }
}

function retrySection(retries: Field, limit: number | undefined): Section {
  const attempts = retries.get('attempts')
  const tries = wholeNumberOf(attempts, 0, 100)
  if (tries === undefined) return {}
  const perTryTimeout = retries.get('perTryTimeout')
  const perTry = tries === 0 ? undefined : limitOfTry(perTryTimeout, limit)
  const fitting = limit === undefined || perTry === undefined ? tries : Math.floor(limit / perTry) - 1
  if (fitting >= tries) attempts.take()
  else
    attempts.differ(`the timeout of the request (${durationText(limit!)}) ends the last tries; ${fitting} fit into it`)
  if (Math.min(tries, fitting) === 0) {
    for (const key of ['perTryTimeout', 'retryOn']) retries.get(key).leave('no retry takes place')
    return { retries: { attempts: 0 } }
  }
  if (perTry !== undefined) perTryTimeout.take()
  return {
    retries: {
      attempts: Math.min(tries, fitting),
      ...(perTry === undefined ? {} : { perTryTimeout: durationText(perTry) }),
      retryOn: conditions(retries.get('retryOn')) ?? istioRetryOn,
    },
  }
}

/** A limit of a try that is longer than that of the request has no effect. */
function limitOfTry(field: Field, limit: number | undefined): number | undefined {
  const perTry = durationOf(field)
  if (perTry === undefined) return undefined
  if (limit !== undefined && perTry > limit)
    return field.leave(`it is longer than the timeout of the request (${durationText(limit)}), so it ends no try`)
  return perTry
}

function conditions(field: Field): string[] | undefined {
  const listed = field
    .text()
    ?.split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '')
  if (!listed || listed.length === 0) return undefined
  if (!listed.every((each) => /^[a-z0-9-]+$/.test(each))) return field.leave('not all of it are conditions of Envoy')
  field.take()
  return listed
}

/** The keys of `services.<name>`: `loadBalancer` and `circuitBreaker`. */
export function trafficPolicy(policy: Field): Section {
  const circuitBreaker = { ...connections(policy.get('connectionPool')), ...ejection(policy.get('outlierDetection')) }
  const loadBalancer = balancer(policy.get('loadBalancer'))
  return {
    ...(loadBalancer ? { loadBalancer } : {}),
    ...(Object.keys(circuitBreaker).length > 0 ? { circuitBreaker } : {}),
  }
}

function connections(pool: Field): Section {
  const http = pool.get('http')
  return {
    ...count('maxConnections', pool.get('tcp', 'maxConnections')),
    ...count('maxPendingRequests', http.get('http1MaxPendingRequests')),
    ...count('maxRequestsPerConnection', http.get('maxRequestsPerConnection'), 0),
  }
}

function count(key: string, field: Field, least = 1): Section {
  const value = wholeNumberOf(field, 0, 1_000_000)
  if (value !== undefined && value < least) field.leave('0 is as good as nothing')
  return value === undefined || value < least ? {} : { [key]: field.take() }
}

/** Of Istio, and too few for services of less than ten pods. */
const istioMaxEjectionPercent = 10

function ejection(detection: Field): Section {
  const percent = detection.get('maxEjectionPercent')
  if (percent.value === 0) {
    detection.leave('with `maxEjectionPercent: 0` no pod is ever ejected')
    return {}
  }
  const section = {
    ...count('consecutive5xxErrors', detection.get('consecutive5xxErrors')),
    ...time('interval', detection.get('interval')),
    ...time('ejectFor', detection.get('baseEjectionTime')),
  }
  if (Object.keys(section).length === 0) return {}
  percent.take()
  return { ...section, maxEjectionPercent: wholeNumberOf(percent, 1, 100) ?? istioMaxEjectionPercent }
}

function time(key: string, field: Field): Section {
  const ms = durationOf(field)
  field.take()
  return ms === undefined ? {} : { [key]: durationText(ms) }
}

const algorithms: Record<string, string> = {
  ROUND_ROBIN: 'round-robin',
  LEAST_CONN: 'least-request',
  LEAST_REQUEST: 'least-request',
  RANDOM: 'random',
}

function balancer(field: Field): unknown {
  const simple = field.get('simple')
  const algorithm = algorithms[simple.text() ?? '']
  if (algorithm !== undefined) {
    simple.take()
    return algorithm
  }
  const hash = hashKey(field.get('consistentHash'))
  return hash && { consistentHash: hash }
}

function hashKey(hash: Field): Section | undefined {
  const header = hash.get('httpHeaderName')
  if (header.given) return { header: header.take() }
  const query = hash.get('httpQueryParameterName')
  if (query.given) return { query: query.take() }
  const sourceIp = hash.get('useSourceIp')
  if (sourceIp.value === true) return { sourceIp: sourceIp.take() }
  const cookie = hash.get('httpCookie')
  const name = cookie.get('name')
  if (!name.given) return undefined
  return { cookie: { name: name.take(), ...lifetime(cookie.get('ttl')) } }
}

/** A lifetime of 0 seconds means a cookie for the session, which has no counterpart. */
function lifetime(ttl: Field): Section {
  if (!ttl.given || /^0+(\.0+)?[a-z]*$/.test(ttl.text() ?? '')) {
    ttl.leave('a cookie without a lifetime has no counterpart: the proxy only reads the cookie')
    return {}
  }
  return time('ttl', ttl)
}
