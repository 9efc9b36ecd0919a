// What answers at a collector's port: real servers stand for it.
import http2 from 'node:http2'
import { createServer } from 'node:http'
import net, { type AddressInfo, type Server } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { otlpFault } from '../../../../src/verify/telemetry/otlp-fault.ts'
import { pod } from '../../fixtures.ts'

async function faultOf(server: Server): Promise<string | undefined> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  const forward = () => Promise.resolve(net.connect(port, '127.0.0.1'))
  return otlpFault({ forward }, 'traces', 'Service monitoring/otel', 4317, pod(), 4318)
}

/** A gRPC server that answers each call with this status. */
function grpcServer(status: string): Server {
  const server = http2.createServer()
  server.on('stream', (stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': status }))
    stream.end()
  })
  return server
}

test('a server that takes an export over gRPC is no fault', async () => {
  expect(await faultOf(grpcServer('0'))).toBeUndefined()
})

test('a server that speaks HTTP/1.1 is named, with the port that it is behind', async () => {
  expect(await faultOf(createServer((_, answer) => answer.end()))).toBe(
    'observability.traces.collector: port 4317 of the Service monitoring/otel leads to port 4318 of the pod backend-1, ' +
      'which does not speak gRPC, and probably HTTP; let it lead to the port for OTLP over gRPC, by default 4317',
  )
})

test('a server that speaks HTTP/2 but no gRPC is named', async () => {
  const server = http2.createServer((_, answer) => answer.writeHead(404).end())
  expect(await faultOf(server)).toContain('does not speak gRPC')
})

test('a gRPC server without the method takes no traces', async () => {
  expect(await faultOf(grpcServer('12'))).toContain('speaks gRPC, but takes no traces over OTLP')
})

test('a port that cannot be asked proves nothing', async () => {
  const forward = () => Promise.reject(new Error('pods "backend-1" is forbidden'))
  expect(await otlpFault({ forward }, 'traces', 'Service a/b', 4317, pod(), 4317)).toBeUndefined()
})
