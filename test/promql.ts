// Reads PromQL with the grammar of Prometheus' own editor.
import { parser } from '@prometheus-io/lezer-promql'

/** The places that are no PromQL, each as the text from there on. */
export function syntaxFaults(expr: string): string[] {
  const faults: string[] = []
  parser.parse(expr).iterate({
    enter: ({ type, from }) => {
      if (type.isError) faults.push(expr.slice(from, from + 40))
    },
  })
  return faults
}

/** The vector selectors of an expression, such as `up{job="istiod"}`. */
export function selectorsIn(expr: string): string[] {
  const selectors: string[] = []
  parser.parse(expr).iterate({
    enter: ({ name, from, to }) => {
      if (name === 'VectorSelector') selectors.push(expr.slice(from, to))
    },
  })
  return selectors
}
