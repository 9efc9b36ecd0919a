import { Writable } from 'node:stream'
import { describe, expect, test, vi } from 'vitest'
import { terminal, withoutControlCharacters } from '../../../src/cli/terminal.ts'

/** Prints a few lines to a stream that is a terminal or not. */
async function printed(isTTY: boolean, env: Record<string, string> = {}): Promise<string> {
  let text = ''
  const stream = Object.assign(new Writable({ write: (chunk, _, done) => ((text += String(chunk)), done()) }), {
    isTTY,
    getColorDepth: (of: Record<string, string> = process.env as Record<string, string>) =>
      of['NO_COLOR'] === undefined ? 8 : 1,
  })
  const { group, info, warning, error } = terminal(
    stream as unknown as NodeJS.WriteStream,
    env,
    stream as unknown as NodeJS.WriteStream,
  )
  // eslint-disable-next-line @typescript-eslint/require-await -- as stages are
  await group('verify', async () => (info('backend 2/2\n\nall'), warning('slow')))
  error('one\ntwo')
  return text
}

const plain = 'verify\n  backend 2/2\n\n  all\n  warning: slow\nerror: one\nerror: two\n'

describe('lines for people', () => {
  test('have no colours outside a terminal', async () => {
    expect(await printed(false)).toBe(plain)
  })

  test('have colours on a terminal unless NO_COLOR is set', async () => {
    vi.stubEnv('FORCE_COLOR', undefined)
    vi.stubEnv('NO_COLOR', undefined)
    expect(await printed(true)).toBe(
      '\u001b[1mverify\u001b[22m\n  backend 2/2\n\n  all\n  \u001b[33mwarning:\u001b[39m slow\n\u001b[31merror:\u001b[39m one\n\u001b[31merror:\u001b[39m two\n',
    )
    vi.stubEnv('NO_COLOR', '1')
    expect(await printed(true)).toBe(plain)
    vi.unstubAllEnvs()
  })

  test('have colours outside a terminal if FORCE_COLOR asks for them', async () => {
    vi.stubEnv('NO_COLOR', undefined)
    vi.stubEnv('FORCE_COLOR', '1')
    expect(await printed(false)).toContain('\u001b[1mverify\u001b[22m\n')
    vi.unstubAllEnvs()
  })

  test('form sections that fold on GitLab', async () => {
    const text = await printed(false, { GITLAB_CI: 'true' })
    expect(text.replace(/:\d{10}:/g, ':TIME:')).toBe(
      `\u001b[0Ksection_start:TIME:mesh_canary_verify\r\u001b[0K${plain.replace('error', '\u001b[0Ksection_end:TIME:mesh_canary_verify\r\u001b[0K\nerror')}`,
    )
  })

  test.each([
    ['\u001b[2J\u001b[31mred', '\ufffd[2J\ufffd[31mred'],
    [
      '\u001b[0Ksection_end:1:mesh_canary_verify\r\u001b[0K',
      '\ufffd[0Ksection_end:1:mesh_canary_verify\ufffd\ufffd[0K',
    ],
    ['bell\u0007 and \u009b31m', 'bell\ufffd and \ufffd31m'],
    ['two\r\nlines\tand a tab', 'two\nlines\tand a tab'],
  ])('contain no control characters: %j', (text, expected) => {
    expect(withoutControlCharacters(text)).toBe(expected)
  })
})
