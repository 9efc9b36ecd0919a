import { Writable } from 'node:stream'
import { describe, expect, test, vi } from 'vitest'
import { terminal, withoutControlCharacters } from '../../../src/cli/terminal.ts'

/** Prints a few lines to a stream that is a terminal or not. */
async function printed(isTTY: boolean, env: Record<string, string> = {}, said = 'backend 2/2\n\nall'): Promise<string> {
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
  await group('verify', async () => (info(said), warning('slow')))
  error('one\ntwo')
  return text
}

const plain = 'verify\n  backend 2/2\n\n  all\n  warning: slow\nerror: one\nerror: two\n'

describe('lines for people', () => {
  test('are no commands of a runner of GitHub, however many lines a message has', async () => {
    const said = 'the webhook says:\n::set-output name=verdict::promoted\n##[group]x'
    const text = await printed(false, { GITHUB_ACTIONS: 'true' }, said)
    expect(text).not.toMatch(/^\s*::|##\[/m)
    expect(text.replaceAll('\u200b', '')).toContain(said.replaceAll('\n', '\n  '))
    expect(await printed(false, {}, said)).not.toContain('\u200b')
  })

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
    ['not \u202edetomorp', 'not \ufffddetomorp'],
  ])('contain no control characters: %j', (text, expected) => {
    expect(withoutControlCharacters(text)).toBe(expected)
  })
})

/** What a terminal shows after it has got these characters: the log, and the lines below it. */
function screenOf(text: string): string[] {
  const lines = ['']
  let row = 0
  for (const [, up, erase, rest] of text.matchAll(/\u001b\[(\d+)A|(\u001b\[0J)|([^\u001b]+)/g)) {
    if (up !== undefined) row -= Number(up)
    else if (erase !== undefined) lines.splice(row, lines.length, '')
    else
      for (const [i, part] of (rest ?? '').split('\n').entries()) {
        if (i > 0) row++
        lines[row] = (i > 0 ? '' : (lines[row] ?? '')) + part
      }
  }
  return lines
}

describe('live lines', () => {
  function onTerminal(env: Record<string, string> = {}, isTTY = true, columns = 40) {
    let text = ''
    const stream = Object.assign(new Writable({ write: (chunk, _, done) => ((text += String(chunk)), done()) }), {
      isTTY,
      columns,
      getColorDepth: () => 1,
    }) as unknown as NodeJS.WriteStream
    return { lines: terminal(stream, env, stream), screen: () => screenOf(text), text: () => text, stream }
  }

  test('stay below the log, and show the last state', async () => {
    const { lines, screen } = onTerminal()
    await lines.group('promote', () => {
      lines.live(['step 1 of 2', 'against ░'])
      lines.info('weight: v1 75, v2 25')
      lines.live(['step 2 of 2'])
      lines.info('one\ntwo')
      lines.error('slow')
      return Promise.resolve()
    })
    expect(screen()).toEqual(['promote', '  weight: v1 75, v2 25', '  one', '  two', 'error: slow', 'step 2 of 2', ''])
    lines.live([])
    expect(screen()).toEqual(['promote', '  weight: v1 75, v2 25', '  one', '  two', 'error: slow', ''])
  })

  test('do not wrap, and cannot move the cursor', () => {
    const { lines, screen } = onTerminal()
    lines.live(['é'.repeat(100), 'a\u001b[2Jb'])
    lines.info('x')
    expect(screen()).toEqual(['x', 'é'.repeat(39), 'a\ufffd[2Jb', ''])
  })

  test.each<[string, string, string]>([
    ['wide characters', '汉'.repeat(60), '汉'.repeat(19)],
    ['pictures', '🚀✅'.repeat(30), `${'🚀✅'.repeat(9)}🚀`],
    ['tabs', 'x\t'.repeat(30), `${'x '.repeat(19)}x`],
    ['a bar, which is not wide', '█░'.repeat(30), `${'█░'.repeat(19)}█`],
  ])('have no more columns than the terminal, with %s', (_, line, shown) => {
    const { lines, screen } = onTerminal()
    lines.live([line])
    expect(screen()).toEqual([shown, ''])
  })

  test('are no more than the terminal has, and each is one line', () => {
    const { lines, screen, stream } = onTerminal()
    stream.rows = 4
    for (let i = 0; i < 3; i++) lines.live([`first ${i}\nof one`, ...Array.from({ length: 8 }, (_, n) => `line ${n}`)])
    expect(screen()).toEqual(['first 2 of one', 'line 0', '… and 7 more lines', ''])
  })

  test('leave nothing behind when the terminal becomes narrower', () => {
    const { lines, text, stream } = onTerminal()
    lines.live(['x'.repeat(35), 'short'])
    stream.columns = 20
    lines.live([])
    // The first line has wrapped, so it takes two.
    expect(text()).toContain('\u001b[3A\u001b[0J')
  })

  test.each<[string, Record<string, string>, boolean]>([
    ['outside a terminal', {}, false],
    ['in CI', { CI: 'true' }, true],
    ['on a terminal that knows no movements', { TERM: 'dumb' }, true],
  ])('are not shown %s', (_, env, isTTY) => {
    const { lines, text } = onTerminal(env, isTTY)
    lines.live(['step 1 of 2'])
    lines.info('weight: v1 75, v2 25')
    expect(text()).toBe('weight: v1 75, v2 25\n')
    expect(lines.isLive).toBe(false)
  })
})
