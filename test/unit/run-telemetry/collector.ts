// A collector for tests: it takes OTLP in JSON over HTTP, and keeps what it got.
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

type Value = { stringValue?: string; intValue?: number; doubleValue?: number; boolValue?: boolean }
type Attribute = { key: string; value: Value }
export type OtlpSpan = {
  name: string
  traceId: string
  spanId: string
  parentSpanId?: string
  attributes: Attribute[]
  status: { code: number; message?: string }
}
type DataPoint = { attributes: Attribute[]; asDouble?: number; asInt?: number }
type OtlpMetric = { name: string; unit: string; gauge?: { dataPoints: DataPoint[] }; sum?: { dataPoints: DataPoint[] } }
type Body = {
  resourceSpans?: { resource: { attributes: Attribute[] }; scopeSpans: { spans: OtlpSpan[] }[] }[]
  resourceMetrics?: { scopeMetrics: { metrics: OtlpMetric[] }[] }[]
}
type Received = { path: string; headers: IncomingHttpHeaders; body: Body | undefined }

export class Collector {
  readonly received: Received[] = []
  private readonly server: Server

  private constructor(server: Server) {
    this.server = server
  }

  /** `answer`: instead of taking what is sent. */
  static async start(answer?: RequestListener): Promise<Collector> {
    const server = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        const { url: path = '', headers } = request
        const isJson = headers['content-type'] === 'application/json'
        const body = isJson ? (JSON.parse(Buffer.concat(chunks).toString()) as Body) : undefined
        collector.received.push({ path, headers, body })
        if (answer) return void answer(request, response)
        response.setHeader('content-type', headers['content-type'] ?? '').end(isJson ? '{}' : '')
      })
    })
    const collector = new Collector(server)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return collector
  }

  get address(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  stop(): void {
    this.server.closeAllConnections()
    this.server.close()
  }

  spans(): OtlpSpan[] {
    const resources = this.received.flatMap(({ body }) => body?.resourceSpans ?? [])
    return resources.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans))
  }

  /** The attributes of the program that sent spans. */
  resource(): Record<string, unknown> {
    const [first] = this.received.flatMap(({ body }) => body?.resourceSpans ?? [])
    return plain(first?.resource.attributes ?? [])
  }

  /** The last points of a metric, each with its attributes. */
  points(name: string): Record<string, unknown>[] {
    const exports = this.received.flatMap(({ body }) => body?.resourceMetrics ?? [])
    const metrics = exports.flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics))
    const last = metrics.findLast((metric) => metric.name === name)
    const points = (last?.gauge ?? last?.sum)?.dataPoints ?? []
    return points.map(({ attributes, asDouble, asInt }) => ({ ...plain(attributes), value: asDouble ?? asInt }))
  }
}

/** Attributes as a plain object. */
export function plain(attributes: Attribute[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))
}
