import { z } from 'zod'
import { name, positive } from './schema-parts.ts'

/** The settings of the HTTP gateway. */
export const gateway = z.strictObject({
  enabled: z
    .boolean()
    .default(false)
    .describe(
      'whether `freshet all` and `npm start` serve HTTP too; `freshet gateway` always does',
    ),
  host: name.default('127.0.0.1'),
  port: z.number().int().min(0).max(65_535).default(8_080).describe('0: any free port'),
  tokenFile: name
    .nullable()
    .default(null)
    .describe('bearer tokens, one a line, of which callers show one; read again when it changes'),
  allowWithoutToken: z
    .boolean()
    .default(false)
    .describe('serve other machines without tokenFile, e.g. behind a proxy that knows who may ask'),
  bodyBytesMax: positive.default(2 ** 20).describe('of a request'),
  eventsPerRequestMax: positive.default(500),
  inFlightMax: positive
    .default(256)
    .describe('requests at a time; beyond, callers are told to come again'),
  sendTimeoutMs: positive
    .default(5_000)
    .describe('how long a request with events waits for Kafka to acknowledge them'),
  drainMs: positive.default(5_000).describe('how long requests under way may take at the end'),
})

/** Whether only this machine can reach a server that listens there. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}
