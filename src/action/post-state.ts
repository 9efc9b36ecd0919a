// Hands the state on from the main step to the post step. The runner passes it in an environment variable, which Linux limits to
// 128 KiB: the state of a large fleet goes to a file, and the variable only names it.
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import * as core from '@actions/core'
import type { PostState } from '../post.ts'
import { messageOf } from '../runtime/errors.ts'

const name = 'left'
const limitBytes = 100_000

/** Returns how to save each change of the state. `tempDir`: a folder that the post step finds again. */
export function postStateSaver(tempDir: string): (state: PostState) => void {
  let folder: string | undefined
  return (state) => {
    const text = JSON.stringify(state)
    if (Buffer.byteLength(text) <= limitBytes) return core.saveState(name, text)
    folder ??= mkdtempSync(join(tempDir, 'mesh-canary-state-'))
    const file = join(folder, 'state.json')
    // The run may be killed in the middle of a write.
    writeFileSync(`${file}.new`, text, { mode: 0o600 })
    renameSync(`${file}.new`, file)
    core.saveState(name, JSON.stringify({ file }))
  }
}

/** Also removes the file. @throws Error if it is gone */
export function takePostState(): PostState {
  const state = JSON.parse(core.getState(name) || '{}') as PostState | { file: string }
  if (!('file' in state)) return state
  try {
    const text = readFileSync(state.file, 'utf8')
    rmSync(dirname(state.file), { recursive: true, force: true })
    return JSON.parse(text) as PostState
  } catch (error) {
    throw new Error(
      `cannot read the state that the run left (${messageOf(error)}); the guards return unfinished promotions to stable; ` +
        'with `guard: off`, run the stage rollback',
    )
  }
}
