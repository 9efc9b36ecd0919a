// Values as YAML text, in the layout of the golden files: no line is wrapped, and there are no anchors.
import { DEFAULT_SCALAR_STYLE_RULES as rules, dump, SCALAR_STYLE, type ScalarStyleRule } from 'js-yaml'

/** Keeps JSON inside a string readable: `'{"a":1}'` instead of `"{\"a\":1}"`. */
const singleQuotesAroundDouble: ScalarStyleRule = (layout) => {
  const mayBePlain = (layout.allowedStylesMask & (1 << SCALAR_STYLE.PLAIN)) !== 0
  const { value } = layout.node
  if (layout.style === SCALAR_STYLE.PLAIN && !mayBePlain && value.includes('"') && !value.includes("'"))
    layout.style = SCALAR_STYLE.SINGLE_QUOTED
}

const scalarStyleRules = [
  rules.doubleQuoteWhitespaceOnly,
  rules.tryLongOrMultilineAsBlock,
  singleQuotesAroundDouble,
  rules.quoteInvalidPlain,
  rules.fallbackToDoubleQuoted,
]

/** Quotes every text that a parser of YAML 1.1 or 1.2 would read as another type, such as `yes` or a date. */
export function stringify(value: unknown): string {
  return dump(value, { lineWidth: -1, noRefs: true, quoteStyle: 'double', scalarStyleRules })
}
