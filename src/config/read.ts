// Files that the config names: what keeps one from being read is a fault in what the user wrote.
import { readFileSync } from 'node:fs'
import { ConfigError } from './error.ts'

/** The file's text. @throws ConfigError that names `key`, where the file is asked for. */
export function readText(key: string, file: string): string {
  const text = decodeText(file)
  if (typeof text === 'string') return text
  throw new ConfigError(`${key}: the file ${file} ${text.fault}`)
}

/** The text, or the rest of a sentence that begins with the file. */
export function decodeText(file: string): string | { fault: string } {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    return {
      fault: `cannot be read (${(error as NodeJS.ErrnoException).code}); check the path, and that the job checks the repository out first`,
    }
  }
}
