// The state for the post step, through the runner's file and variable.
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { postStateSaver, takePostState } from '../../../src/action/post-state.ts'
import type { PostState } from '../../../src/post.ts'
import { tempFolder } from '../fixtures.ts'

afterEach(() => vi.unstubAllEnvs())

/** What the runner gives the post step, after each change of the state. */
function handedOn(...states: PostState[]): { variable: string; folder: string } {
  const folder = tempFolder()
  const file = join(folder, 'github-state')
  writeFileSync(file, '')
  vi.stubEnv('GITHUB_STATE', file)
  const save = postStateSaver(folder)
  states.forEach(save)
  const all = [...readFileSync(file, 'utf8').matchAll(/^left<<(.+)\n([\s\S]*?)\n\1$/gm)]
  const variable = all.at(-1)![2]!
  vi.stubEnv('STATE_left', variable)
  return { variable, folder }
}

/** `count` clusters, each with what ten plain promotions leave. */
function fleetOf(count: number): PostState {
  const intents = Array.from({ length: 10 }, () => ({ text: 'x'.repeat(500) })) as unknown as PostState['intents']
  const clusters = Array.from({ length: count }, (_, i): [string, PostState] => [`c${i}`, { intents: intents! }])
  return { clusters: Object.fromEntries(clusters) }
}

test('a small state is in the variable', () => {
  const { variable } = handedOn({}, fleetOf(2))
  expect(JSON.parse(variable)).toEqual(fleetOf(2))
  expect(takePostState()).toEqual(fleetOf(2))
})

test('the state of a large fleet is in a file, whose name fits into an environment variable', () => {
  const { variable } = handedOn(fleetOf(20), fleetOf(40), fleetOf(50))
  expect(variable.length).toBeLessThan(1_000)
  const { file } = JSON.parse(variable) as { file: string }
  expect(takePostState()).toEqual(fleetOf(50))
  expect(existsSync(file)).toBe(false)
})

test('a state that became small again is in the variable', () => {
  handedOn(fleetOf(50), fleetOf(1))
  expect(takePostState()).toEqual(fleetOf(1))
})

test('a file that is gone is an error that says who acts then', () => {
  const { variable } = handedOn(fleetOf(50))
  rmSync((JSON.parse(variable) as { file: string }).file)
  expect(() => takePostState()).toThrow(
    /cannot read the state that the run left \(ENOENT.*`guard: off`, run the stage rollback/,
  )
})

test('without a state there is nothing to do', () => {
  vi.stubEnv('STATE_left', '')
  expect(takePostState()).toEqual({})
})
