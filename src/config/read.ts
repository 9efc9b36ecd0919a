// Reads files that the config names. A file that cannot be read is a mistake in the config.
import { readFileSync } from 'node:fs'
import { ConfigError } from './error.ts'
import { shownPath } from './shown.ts'

/** The file's text. @throws ConfigError that names `key`, the key with the file's path. */
export function readText(key: string, file: string): string {
  const text = decodeText(file)
  if (typeof text === 'string') return text
  throw new ConfigError(`${key}: the file ${shownPath(file)} ${text.fault}`)
}

/** The file's text, or the end of a sentence that begins with the file's name. */
export function decodeText(file: string): string | { fault: string } {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return { fault: `cannot be read (${code}); check the path, and that the job checks the repository out first` }
  }
}
