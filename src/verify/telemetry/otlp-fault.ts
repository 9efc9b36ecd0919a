// Asks a collector's pod for OTLP over gRPC, with an empty export, which adds nothing. A port may have the right name and
// still lead to a program that speaks HTTP/1.1.
import http2 from 'node:http2'
import type { Duplex } from 'node:stream'
import type { Pod } from '../../cluster/objects.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { ProofDeps } from './types.ts'

const methods = {
  traces: '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
  logs: '/opentelemetry.proto.collector.logs.v1.LogsService/Export',
}
const unimplemented = '12'
const timeoutMs = 5_000

/** One sentence if the pod answers otherwise; undefined if it does not answer at all, or may not be asked. */
export async function otlpFault(
  { forward }: Pick<ProofDeps, 'forward'>,
  part: keyof typeof methods,
  title: string,
  port: number,
  { metadata: { namespace = '', name } }: Pod,
  containerPort: number,
): Promise<string | undefined> {
  const stream = await forward(namespace, name, containerPort).catch(() => undefined)
  if (!stream) return undefined
  const answer = await exportNothing(stream, methods[part]).finally(() => stream.destroy())
  const what = `observability.${part}.collector: port ${port} of the ${title}`
  if (answer === 'not gRPC')
    return (
      `${what} leads to port ${containerPort} of the pod ${name}, which does not speak gRPC, and probably HTTP; let it ` +
      'lead to the port for OTLP over gRPC, by default 4317'
    )
  return answer === unimplemented
    ? `${what} speaks gRPC, but takes no ${part} over OTLP; name another collector`
    : undefined
}

/** The gRPC status, `not gRPC`, or undefined without an answer. */
async function exportNothing(stream: Duplex, path: string): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>()
  const timer = setTimeout(() => resolve(undefined), timeoutMs)
  const session = http2.connect('http://collector', { createConnection: () => stream })
  session.on('error', (error) => resolve(/rotocol error|bad preface/i.test(messageOf(error)) ? 'not gRPC' : undefined))
  const request = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
  })
  const isGrpc = (headers: http2.IncomingHttpHeaders) => headers['content-type']?.startsWith('application/grpc')
  const statusOf = (headers: http2.IncomingHttpHeaders) => String(headers['grpc-status'])
  request.on('response', (headers) => {
    if (!isGrpc(headers)) resolve('not gRPC')
    else if (headers['grpc-status'] !== undefined) resolve(statusOf(headers))
  })
  request.on('trailers', (trailers: http2.IncomingHttpHeaders) => resolve(statusOf(trailers)))
  request.on('error', () => undefined)
  request.resume().end(emptyMessage)
  return promise.finally(() => {
    clearTimeout(timer)
    session.destroy()
  })
}

/** A gRPC frame: not compressed, with a message of no bytes. */
const emptyMessage = Buffer.alloc(5)
