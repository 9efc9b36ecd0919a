// Writes the results of a run to files. A file that cannot be written must not lose the others, nor the verdict.
import { accessSync, constants, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { messageOf } from '../runtime/errors.ts'

/** Creates the folder of the file. Returns why the file cannot be written, as the end of a sentence; else undefined. */
export function prepareFile(file: string): string | undefined {
  return faultOf(file, () => {
    mkdirSync(dirname(file), { recursive: true })
    const isThere = statSync(file, { throwIfNoEntry: false }) !== undefined
    accessSync(isThere ? file : dirname(file), constants.W_OK)
    if (statSync(file, { throwIfNoEntry: false })?.isDirectory()) throw codeError('EISDIR')
  })
}

/** Writes the file, and creates its folder. Returns why it cannot be written, as `prepareFile` does. */
export function writeText(file: string, text: string, flag: 'w' | 'a' = 'w'): string | undefined {
  return faultOf(file, () => {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text, { flag })
  })
}

function faultOf(file: string, work: () => void): string | undefined {
  try {
    work()
    return undefined
  } catch (error) {
    const { code = messageOf(error) } = error as NodeJS.ErrnoException
    return `${file} cannot be written (${code}); choose a path in a folder that this run may write to`
  }
}

function codeError(code: string): Error {
  return Object.assign(new Error(code), { code })
}
