import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { unlessAborted, withDeadline, withTimeout } from '../../../src/runtime/timeout.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const messageOf = ({ reason }: AbortSignal) => (reason as Error).message

test('a timeout aborts with an error that names the work, the limit and the setting', () => {
  const signal = withTimeout(new AbortController().signal, 1_500, 'istioctl install', 'limits.istioctl')
  vi.advanceTimersByTime(1_499)
  expect(signal.aborted).toBe(false)
  vi.advanceTimersByTime(1)
  expect(messageOf(signal)).toBe('istioctl install timed out after 1.5 s (`limits.istioctl`)')
})

test('a timeout without a setting does not name one', () => {
  const signal = withTimeout(undefined, 1_000, 'docker info')
  vi.advanceTimersByTime(1_000)
  expect(messageOf(signal)).toBe('docker info timed out after 1 s')
})

test('a timeout aborts with the reason of the given signal when that aborts first', () => {
  const controller = new AbortController()
  const signal = withTimeout(controller.signal, 1_000, 'kind create cluster', 'limits.kind')
  controller.abort(new Error('the run was cancelled'))
  vi.advanceTimersByTime(1_000)
  expect(messageOf(signal)).toBe('the run was cancelled')
})

test('a deadline creates its error when the time is over, not before', () => {
  let received = 1
  const signal = withDeadline(undefined, 1_000, () => new Error(`${received} MB received`))
  received = 3
  vi.advanceTimersByTime(1_000)
  expect(messageOf(signal)).toBe('3 MB received')
})

test('a timeout abandons work that ignores signals as soon as the signal aborts', async () => {
  const never = new Promise<never>(() => undefined)
  const controller = new AbortController()
  const waiting = unlessAborted(never, controller.signal)
  controller.abort(new Error('the run was cancelled'))
  await expect(waiting).rejects.toThrow('the run was cancelled')
  await expect(unlessAborted(never, controller.signal)).rejects.toThrow('the run was cancelled')
})

test('a timeout returns the result or the error of work that settles first', async () => {
  const { signal } = new AbortController()
  expect(await unlessAborted(Promise.resolve(1), signal)).toBe(1)
  await expect(unlessAborted(Promise.reject(new Error('no')), signal)).rejects.toThrow('no')
})

test('a timeout of 600 hours aborts after 600 hours', () => {
  const ms = 600 * 3_600_000
  const signal = withTimeout(undefined, ms, 'istioctl install')
  vi.advanceTimersByTime(ms - 1)
  expect(signal.aborted).toBe(false)
  vi.advanceTimersByTime(1)
  expect(signal.aborted).toBe(true)
})
