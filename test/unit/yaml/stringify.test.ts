// The YAML form of values. Parsers of YAML 1.1 read the same values back, too.
import { load, YAML11_SCHEMA } from 'js-yaml'
import { expect, test } from 'vitest'
import { parse } from '../../../src/yaml/parse.ts'
import { stringify } from '../../../src/yaml/stringify.ts'

test.each<[unknown, string]>([
  [{ a: { b: [1, { c: 'd' }, []] }, e: {} }, 'a:\n  b:\n    - 1\n    - c: d\n    - []\ne: {}\n'],
  [{ a: null, b: undefined, c: true, d: 1.5 }, 'a: null\nc: true\nd: 1.5\n'],
  [{ a: `${'long '.repeat(40)}text` }, `a: ${'long '.repeat(40)}text\n`],
  [{ a: 'one\n\ttwo\n' }, 'a: |\n  one\n  \ttwo\n'],
  [{ a: '1', b: 'true', c: '', d: '*.test' }, 'a: "1"\nb: "true"\nc: ""\nd: "*.test"\n'],
  [{ a: '{"keys":[]}' }, `a: '{"keys":[]}'\n`],
  [{ a: `{"it's"}` }, `a: "{\\"it's\\"}"\n`],
  [{ a: 'say "yes"', b: "it's" }, `a: say "yes"\nb: it's\n`],
  [{ '8080': 1, 'a: b': 2 }, '"8080": 1\n"a: b": 2\n'],
])('the YAML of %j is unchanged', (value, text) => {
  expect(stringify(value)).toBe(text)
})

test('a value that occurs twice is written twice', () => {
  const shared = { a: 1 }
  expect(stringify({ b: shared, c: shared })).toBe('b:\n  a: 1\nc:\n  a: 1\n')
})

test.each([
  'yes',
  'on',
  'OFF',
  'n',
  '012',
  '0o14',
  '1_000',
  '12:30',
  '2026-11-29',
  '<<',
  '=',
  '~',
  '.inf',
  '1e3',
  '0b1',
])('the text %s stays a text for parsers of YAML 1.1 and 1.2', (text) => {
  const written = stringify({ key: text, [text]: 1 })
  expect(parse(written).value).toEqual({ key: text, [text]: 1 })
  expect(load(written, { schema: YAML11_SCHEMA })).toEqual({ key: text, [text]: 1 })
})

test.each([
  'a\n',
  'a\n\n',
  '\n',
  '\n a',
  ' a',
  'a ',
  'a\tb',
  '\u00a0',
  '\u2028',
  '\u0007',
  '😀',
  '---',
  '# a',
  '\\',
  '\r\n',
  '- a',
  'a:',
])('the text %j is the same when it is read back', (text) => {
  expect(parse(stringify({ key: text, list: [text] })).value).toEqual({ key: text, list: [text] })
})
