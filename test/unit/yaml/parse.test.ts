// The values of YAML texts, and the line and sentence of each error. The expected values are those of the package
// `yaml` 2.9, which read the configs of users before js-yaml did.
import { describe, expect, test } from 'vitest'
import { YamlError } from '../../../src/yaml/faults.ts'
import { parse, parseAll } from '../../../src/yaml/parse.ts'

function faultOf(text: string): string {
  try {
    parse(text)
  } catch (error) {
    if (error instanceof YamlError) return error.message
    throw error
  }
  throw new Error('the text was accepted')
}

describe('a scalar', () => {
  test.each<[string, unknown]>([
    // Numbers
    ['1.31', 1.31],
    ['1.30', 1.3],
    ['012', 12],
    ['00', 0],
    ['0o14', 12],
    ['0x1F', 31],
    ['+1', 1],
    ['-12', -12],
    ['-0', -0],
    ['1e3', 1000],
    ['1E-2', 0.01],
    ['1e03', 1000],
    ['1.5e+3', 1500],
    ['1.e3', 1000],
    ['0.0', 0],
    ['.5', 0.5],
    ['-.5', -0.5],
    ['+.5', 0.5],
    ['5.', 5],
    ['.inf', Infinity],
    ['-.Inf', -Infinity],
    ['.NaN', NaN],
    ['9007199254740993', 9007199254740992],
    ['123456789012345678901234567890', 1.2345678901234568e29],
    // Text that looks like a number
    ['0b11', '0b11'],
    ['0o8', '0o8'],
    ['0x', '0x'],
    ['+0x1F', '+0x1F'],
    ['1_000', '1_000'],
    ['1,000', '1,000'],
    ['1e', '1e'],
    ['.e3', '.e3'],
    ['.nAn', '.nAn'],
    ['NaN', 'NaN'],
    ['Infinity', 'Infinity'],
    ['0.1.2', '0.1.2'],
    ['v1', 'v1'],
    ['1%', '1%'],
    ['10s', '10s'],
    ['12:30', '12:30'],
    ['12:30:45', '12:30:45'],
    ['٣', '٣'],
    // Booleans and null
    ['true', true],
    ['True', true],
    ['FALSE', false],
    ['tRUE', 'tRUE'],
    ['yes', 'yes'],
    ['no', 'no'],
    ['on', 'on'],
    ['off', 'off'],
    ['y', 'y'],
    ['n', 'n'],
    ['null', null],
    ['NULL', null],
    ['~', null],
    ['', null],
    ['nUll', 'nUll'],
    // Dates
    ['2026-11-29', '2026-11-29'],
    ['2026-11-29T10:00:00Z', '2026-11-29T10:00:00Z'],
    ['2026-11-29 10:00:00', '2026-11-29 10:00:00'],
    // Quotes, blocks, comments and tabs
    ['"1"', '1'],
    ["'true'", 'true'],
    ['"\\u00e9\\ud83d\\ude00"', 'é😀'],
    ['|\n  a\n  b\n', 'a\nb\n'],
    ['>-\n  a\n  b\n', 'a b'],
    ['a\n  b', 'a b'],
    ['a # b', 'a'],
    ['a#b', 'a#b'],
    ['a:b', 'a:b'],
    ['\ta\tb\t', 'a\tb'],
    ['=', '='],
    ['<<', '<<'],
    ['--', '--'],
    ['.', '.'],
    // Tags
    ['! 12', '12'],
    ['!!str 1', '1'],
    ['!!str', ''],
    ['!!int "3"', 3],
    ['!!bool "true"', true],
    ['!own 12', '12'],
    ['!own [1]', [1]],
    ['!own { a: 1 }', { a: 1 }],
    // Flow
    ['[a: 1]', [{ a: 1 }]],
    ['{ a, b }', { a: null, b: null }],
    ['{"a":1}', { a: 1 }],
    ['[http://x:1/a, b]', ['http://x:1/a', 'b']],
  ])('%j means %j', (text, value) => {
    expect(parse(`key: ${text}`).value).toEqual({ key: value })
  })

  // `yaml` gave Infinity, which no field accepts either.
  test('is a string when it is too large for a number', () => {
    expect(parse('key: 1e400').value).toEqual({ key: '1e400' })
  })
})

describe('a text', () => {
  test.each([
    ['that is empty', ''],
    ['with only a comment', '# nothing\n'],
    ['with only a document marker', '---\n'],
    ['with only a byte order mark', '\uFEFF'],
  ])('%s means null', (_, text) => {
    expect(parse(text).value).toBeNull()
  })

  test.each([
    ['with Windows line ends', 'a: 1\r\nb:\r\n  - c\r\n'],
    ['with a byte order mark', '\uFEFFa: 1\nb: [c]\n'],
    ['with a byte order mark before the marker', '\uFEFF---\na: 1\nb: [c]\n'],
    ['with tabs beside values and in blank lines', 'a:\t1\t# x\n\t# y\nb:\n- c\n'],
    ['with comments', '# x\na: 1 # y\n\n  # z\nb:\n# w\n- c\n'],
    ['with both markers', '---\na: 1\nb: [c]\n...\n'],
    ['with a directive', '%YAML 1.2\n# x\n---\na: 1\nb: [c]\n'],
    ['with a closing bracket at the indentation of its key', 'a: 1\nb: [\n  c,\n]\n'],
    ['with explicit keys', '? a\n: 1\n? b\n: [c]\n'],
  ])('%s means the same', (_, text) => {
    expect(parse(text).value).toEqual({ a: 1, b: ['c'] })
  })

  test('may close brackets at the indentation of their keys, at every depth', () => {
    const text = 'a:\n  b: {\n    c: [\n      1, # one ]\n    ],\n    d: "]"\n  }\n  e: [\n  ]\nf: 1\n'
    const { value, lineOf } = parse(text)
    expect(value).toEqual({ a: { b: { c: [1], d: ']' }, e: [] }, f: 1 })
    expect(lineOf(['a'], 'e')).toBe(8)
    expect(lineOf(['f'])).toBe(10)
  })

  test.each([
    ['of an alias', 'a: &x { b: 1, c: 2 }\nd:\n  <<: *x\n  c: 3\n', { b: 1, c: 3 }],
    ['of an alias after its own keys', 'a: &x { b: 1, c: 2 }\nd:\n  c: 3\n  <<: *x\n', { b: 1, c: 3 }],
    ['of a list, whose first map wins', 'a: &x { b: 1 }\ne: &y { b: 2, c: 2 }\nd: { <<: [*x, *y] }\n', { b: 1, c: 2 }],
    ['of a map that merges another', 'a: &x { b: 1 }\ne: &y { <<: *x, c: 2 }\nd: { <<: *y }\n', { b: 1, c: 2 }],
    ['of a map in place', 'd: { <<: { b: 1 }, c: 2 }\n', { b: 1, c: 2 }],
    [
      'without what the map replaces as a whole',
      'a: &x { b: { c: 1 } }\nd: { <<: *x, b: { e: 2 } }\n',
      { b: { e: 2 } },
    ],
    ['not when the key is quoted', 'd: { "<<": { b: 1 } }\n', { '<<': { b: 1 } }],
  ])('resolves a merge key %s', (_, text, value) => {
    expect(parse(text).value).toMatchObject({ d: value })
    expect((parse(text).value as { d: object }).d).toEqual(value)
  })

  test('gives the line of the merge key for a value that it brings', () => {
    const { lineOf } = parse('a: &x\n  b: { e: 1 }\nd:\n  c: 1\n  <<: *x\n')
    expect([lineOf(['d', 'b', 'e']), lineOf(['d'], 'b'), lineOf(['d', 'c']), lineOf(['d'], 'f')]).toEqual([5, 5, 4, 4])
  })

  test('names each key above a merge key that has it too', () => {
    const text = 'a: &x { b: 1, c: 1 }\nd:\n  - b: 2\n    <<: *x\n    c: 2\n'
    expect(parse(text).lateMerges).toEqual([{ key: 'b', line: 4 }])
  })

  test('keeps keys that name parts of a prototype as plain keys', () => {
    const value = parse('constructor: { prototype: { polluted: 1 } }\ntoString: 2\n').value as object
    expect(Object.keys(value)).toEqual(['constructor', 'toString'])
    expect({}).not.toHaveProperty('polluted')
  })
})

describe('an error has a line and a sentence for', () => {
  test.each([
    ['a duplicate key', 'a: 1\nb: 2\n\na: 3\n', 'line 4: map keys must be unique; this key is already in the map'],
    ['a duplicate key below a key', 'x:\n  a: 1\n  a: 3\n', 'line 3: map keys must be unique'],
    ['a duplicate key in brackets', 'x: {a: 1,\n  a: 2}\n', 'line 2: map keys must be unique'],
    ['a number and the same text as keys', '1: a\n"1": b\n', 'line 2: map keys must be unique'],
    ['a merge of a single value', 'b:\n  <<: 1\n', 'line 2: a merge key (`<<`) needs an alias of a map'],
    ['a merge of nothing', 'b:\n  <<:\n', 'line 2: a merge key (`<<`) needs an alias of a map'],
    ['a merge of a list of words', 'b: { <<: [c] }\n', 'line 1: a merge key (`<<`) needs an alias of a map'],
    ['a duplicate merge key', 'a: &x {}\nb:\n  <<: *x\n  <<: *x\n', 'line 4: map keys must be unique'],
    ['a tab as indentation', 'a:\n\tb: 1\n', 'line 2: tabs are not allowed as indentation; use spaces'],
    ['a key with another indentation', 'a:\n  b: 1\n c: 2\n', 'line 3: the indentation differs'],
    [
      'a colon in a value',
      'a: 1\nb: c: d\n',
      'line 2: the indentation differs from the lines around it, or the value needs',
    ],
    ['text after quotes', 'a: "b" c\n', 'line 1: the indentation differs from the lines around it, or the value needs'],
    ['a value that begins with @', 'a: 1\nb: @x\n', 'line 2: a value cannot begin with @; quote it'],
    ['a value that begins with %', 'a: %x\n', 'line 1: a value cannot begin with %; quote it'],
    ['a key without a colon', 'a: 1\nb\n\n# x\nc: 2\n', 'line 2: a key has no colon; write `key: value`'],
    ['a key without a colon at the end', 'a: 1\nb', 'line 2: a key has no colon; write `key: value`'],
    ['a list in a map', 'a: 1\n- b\n', 'line 2: this line does not continue the map or list above it'],
    ['an unclosed list', 'a: 1\nb: [1, 2\nc: 3\nd: 4\n', 'line 3: a quote or bracket is not closed'],
    ['an unclosed map at the end', 'a: {b: 1', 'line 1: a `[` or `{` is not closed'],
    ['an unclosed list with Windows line ends', 'a: 1\r\nb: [\r\n', 'line 3: a quote or bracket is not closed'],
    ['an unclosed quote', 'a: "b', 'line 1: a quote is not closed'],
    ['a bracket to the left of its key', 'a:\n  b: [\n1,\n2]\n', 'line 3: a quote or bracket is not closed'],
    ['a missing comma', 'a: 1\nb: { c: 1 d: 2 }\n', 'line 2: a comma is missing between two entries'],
    ['two commas', 'a: [1,, 2]\n', 'line 1: there is no value before this comma'],
    ['an unknown escape', 'a: "C:\\dir"\n', 'line 1: YAML does not know this escape'],
    ['text beside a block', 'a: |x\n  b\n', 'line 1: text follows `|` or `>` on the same line'],
    ['an empty alias', 'hosts: [*, x]\n', 'line 1: a value cannot begin with `*` or `&`'],
    ['a list as a key', '? [a]\n: b\n', 'line 1: a key must be a single value'],
    ['a control character', 'a: 1\nb: "\x07"\n', 'line 2: there is a control character'],
    ['a second document', 'a: 1\n\n---\n# c\nb: 2\n', 'line 3: a second document starts here, but only one is allowed'],
    ['an empty second document', 'a: 1\n---\n', 'line 2: a second document starts here'],
    ['a second document without a marker', 'a: 1\n...\nb: 1\n', 'line 3: a second document starts here'],
    ['__proto__', 'a:\n  __proto__: { polluted: 1 }\n', 'line 2: `__proto__` is not a known key; remove it'],
    ['__proto__ in escapes', '"__pr\\u006fto__": 1\n', 'line 1: `__proto__` is not a known key; remove it'],
    ['__proto__ by an alias', 'a: &x __proto__\n*x : 1\n', 'line 2: `__proto__` is not a known key; remove it'],
    ['__proto__ below a tag', 'a: !own\n  __proto__: 1\n', 'line 2: `__proto__` is not a known key; remove it'],
    [
      'too many levels',
      `a: ${'['.repeat(101)}${']'.repeat(101)}`,
      'line 1: the values are nested more than 100 levels',
    ],
  ])('%s', (_, text, sentence) => {
    expect(faultOf(text)).toContain(sentence)
  })

  test.each([
    ['an unknown anchor', 'a: 1\nb: *s3cr3t\n', 'line 2: a value that begins with `*` refers to an anchor'],
    ['an anchor of another document', 'b: *s3cr3t\n---\na: &s3cr3t 1\n', 'line 1: a value that begins with `*` refers'],
    ['an anchor named tag', 'a: *tag # s3cr3t\n', 'line 1: a value that begins with `*` refers to an anchor'],
    ['an unknown handle', 'a: 1\nb: !s3cr3t!x y\n', 'line 2: a tag (a word that begins with `!`) is not known'],
    ['a tag of YAML 1.1', 'a: !!timestamp s3cr3t\n', 'line 1: a tag (a word that begins with `!`) is not known'],
    ['a tag that does not fit', 'a: !!int s3cr3t\n', 'line 1: a tag (a word that begins with `!`) is not known'],
    ['strange characters in a tag', 'a: !s3cr3t"x y\n', 'line 1: a tag (a word that begins with `!`) is not known'],
  ])('%s, without any of the text, which may be a secret', (_, text, sentence) => {
    expect(faultOf(text)).toContain(sentence)
    expect(faultOf(text)).not.toContain('s3cr3t')
  })
})

describe('YAML aliases', () => {
  test('repeat the values of their anchors', () => {
    const repeated = Array.from({ length: 100 }, () => '*x').join(', ')
    const { value } = parse(`a: &x { b: [1] }\nc: [${repeated}]\n`)
    expect(value).toEqual({ a: { b: [1] }, c: Array.from({ length: 100 }, () => ({ b: [1] })) })
  })

  test('that would expand to millions of values are rejected at once', () => {
    const levels = 'abcdefghi'.split('').map((name, i, all) => {
      const item = i === 0 ? 'x' : `*${all[i - 1]!}`
      return `${name}: &${name} [${Array.from({ length: 9 }, () => item).join(', ')}]\n`
    })
    expect(faultOf(levels.join(''))).toMatch(/^line 5: aliases \(`\*`\) repeat far too many values/)
  })

  test('that repeat one value too often are rejected', () => {
    const text = (times: number) => `a: &x 1\nb:\n${'- *x\n'.repeat(times)}`
    expect(() => parse(text(10_000))).not.toThrow()
    expect(faultOf(text(10_001))).toMatch(/^line 10003: aliases/)
  })

  test('inside their own anchor are rejected', () => {
    expect(faultOf('a: &x\n  b: *x\n')).toMatch(/^line 2: an alias \(`\*`\) refers to the value that contains it/)
    expect(faultOf('&x [*x]')).toMatch(/^line 1: an alias/)
  })
})

describe('a text of several documents', () => {
  const documents = (text: string) =>
    parseAll(text).map((each) => (each instanceof YamlError ? each.message : [each.line, each.value]))

  test('gives the line of the content of each document', () => {
    expect(documents('# x\n---\na: 1\n---\n\n# y\n- b\n--- c\n---\n...\nd: 1\n')).toEqual([
      [3, { a: 1 }],
      [7, ['b']],
      [8, 'c'],
      [9, null],
      [11, { d: 1 }],
    ])
  })

  test('has no documents when it is empty', () => {
    expect(documents('')).toEqual([])
    expect(documents('# x\n')).toEqual([])
  })

  test('reports the error of each document and reads the others', () => {
    expect(documents('a: [\n---\nb: 1\n---\nc: 1\nc: 2\n---\nd: *x\n---\ne: 1\n')).toEqual([
      expect.stringMatching(/^line 2: a quote or bracket is not closed|^line 2: a `\[`/),
      [3, { b: 1 }],
      expect.stringMatching(/^line 6: map keys must be unique/),
      expect.stringMatching(/^line 8: a value that begins with `\*`/),
      [10, { e: 1 }],
    ])
  })

  test('may have Windows line ends and directives', () => {
    expect(documents('%YAML 1.2\r\n---\r\na: 1\r\n...\r\n%YAML 1.2\r\n---\r\nb: 1\r\n')).toEqual([
      [3, { a: 1 }],
      [7, { b: 1 }],
    ])
  })

  test('is not split at dashes inside a value', () => {
    expect(documents('a: |\n  ---\n  b\nc: ---d\n---e: 1\n')).toEqual([[1, { a: '---\nb\n', c: '---d', '---e': 1 }]])
  })
})

describe('the line of a value', () => {
  const text = [
    '# The comment is line 1.',
    'name: a',
    'empty:',
    '',
    'map: # x',
    '  block: |',
    '    one',
    '  folded: >- # y',
    '    two',
    '  "quoted key": "three',
    '    four"',
    '  8080: five',
    'list:',
    '- a',
    '-',
    '# - z',
    '- { b: [1,',
    '    2] }',
    '-',
    '- - nested',
    '  - &anchor',
    '    c: 1',
    '- *anchor',
    'tagged: !!str',
    '  six',
  ].join('\n')

  test.each<[(string | number)[], string | undefined, number]>([
    [[], undefined, 2],
    [['name'], undefined, 2],
    [['empty'], undefined, 3],
    [['map'], undefined, 6],
    [[], 'map', 5],
    [['map', 'block'], undefined, 6],
    [['map', 'folded'], undefined, 8],
    [['map', 'quoted key'], undefined, 10],
    [['map'], '8080', 12],
    [['map', '8080'], undefined, 12],
    [['list'], undefined, 14],
    [['list', 1], undefined, 15],
    [['list', 2, 'b', 1], undefined, 18],
    [['list', 3], undefined, 19],
    [['list', 4, 0], undefined, 20],
    [['list', 4, 1], undefined, 22],
    [['list', 5], undefined, 23],
    [['list', 5, 'c'], 'c', 23],
    [['tagged'], undefined, 25],
    // A missing key has the line of its nearest parent.
    [['nothing'], undefined, 2],
    [['map', 'nothing', 'below'], undefined, 6],
    [['map'], 'nothing', 6],
    [['list', 9], undefined, 14],
    [['name', 'below'], undefined, 2],
  ])('at %j, key %s, is %i', (path, key, line) => {
    for (const each of [text, text.replaceAll('\n', '\r\n'), `\uFEFF${text}`])
      expect(parse(each).lineOf(path, key)).toBe(line)
  })
})
