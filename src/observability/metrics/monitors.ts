// Monitors for the Prometheus Operator: of sidecars, gateways and istiod, with the labels that an installed Prometheus
// would give them. One for each namespace, which configs share: two would count each request twice. Pure.
import { systemNamespace, type KubeObject } from '../../cluster/objects.ts'
import { observedNamespaces } from '../../config/observability.ts'
import type { Config } from '../../config/schema.ts'
import { tagLabel } from '../../mesh/labels.ts'
import { observabilityObject } from '../objects.ts'
import type { Placement } from './selectors.ts'
import type { Operator } from './operator.ts'
import { agentAddress, agentPath, istiodPort, istioPrefix, proxyPort, scrapeIntervalSeconds } from './scrape.ts'

const interval = `${scrapeIntervalSeconds}s`

export function monitors(config: Config, { placements: { PodMonitor, ServiceMonitor } }: Operator): KubeObject[] {
  const scraped = observedNamespaces(config, systemNamespace)
  return [...scraped.map((each) => proxyMonitor(each, PodMonitor)), istiodMonitor(ServiceMonitor)]
}

function proxyMonitor(scraped: string, { namespace, labels }: Placement): KubeObject {
  return observabilityObject(
    'PodMonitor',
    { name: `istio-proxies-${scraped}`, namespace, labels },
    {
      spec: {
        namespaceSelector: { matchNames: [scraped] },
        selector: {},
        podMetricsEndpoints: [
          {
            port: proxyPort.name,
            path: agentPath,
            interval,
            relabelings: [
              { sourceLabels: ['__address__'], ...agentAddress, targetLabel: '__address__', action: 'replace' },
            ],
            metricRelabelings: [
              { sourceLabels: ['__name__'], ...istioPrefix, targetLabel: '__name__', action: 'replace' },
            ],
          },
        ],
      },
    },
    'istio-proxies',
  )
}

function istiodMonitor({ namespace, labels }: Placement): KubeObject {
  return observabilityObject(
    'ServiceMonitor',
    { name: 'istiod', namespace, labels },
    {
      spec: {
        namespaceSelector: { matchNames: [systemNamespace] },
        // Each revision tag has a Service for the same pods, which would be scraped once more.
        selector: {
          matchLabels: { app: 'istiod' },
          matchExpressions: [{ key: tagLabel, operator: 'DoesNotExist' }],
        },
        endpoints: [{ port: istiodPort.name, interval }],
      },
    },
    'istiod',
  )
}
