import { expect, test } from 'vitest'
import { html, jsonForScript, visible } from '../../../../src/report/html/escape.ts'

test('values are text, and only what html made is markup', () => {
  expect(html`<p title="${`"'`}">${'<b>&'}${html`<i>${1}</i>`}${undefined}${false}</p>`.text).toBe(
    '<p title="&quot;&#39;">&lt;b&gt;&amp;<i>1</i></p>',
  )
})

test('characters that hide or turn text are shown by their number; lines end, and tabs stay', () => {
  expect(visible('a\u202eb\0c\u2028d\r\ne\tf\u{1f600}')).toBe('a\\u{202e}b\\u{0}c\\u{2028}d\ne\tf\u{1f600}')
})

test.each(['</script>', '<!--', '-->', '<script', ']]>', '&lt;', 'a\nb'])(
  'JSON with %j cannot leave its script',
  (text) => {
    const json = jsonForScript({ [text]: [text] }).text
    expect(json).not.toMatch(/[<>&]/)
    expect(JSON.parse(json)).toEqual({ [text]: [text] })
  },
)
