import fs from 'node:fs/promises'
import net from 'node:net'
import path from 'node:path'
import { FreshetError } from '../../errors.ts'

export const loopback = '127.0.0.1'

/**
 * As many loopback ports as asked for: those of the last start on this data folder, so that clients find the server
 * again, and free ones where there is no last start or another process took them meanwhile.
 * @throws FreshetError PORT_TAKEN when `first`, the port the user asked for, is not free
 */
export async function choosePorts(
  dataDir: string,
  count: number,
  first: number | undefined,
  what: string,
): Promise<readonly number[]> {
  if (first !== undefined && !(await isPortFree(first))) {
    throw new FreshetError(
      'PORT_TAKEN',
      `Port ${first} for ${what} is taken by another process: end it or choose another port`,
    )
  }
  const file = path.join(dataDir, 'ports.json')
  const remembered = await readPorts(file)
  const ports: number[] = []
  for (let index = 0; index < count; index++) {
    const wanted = index === 0 && first !== undefined ? first : remembered[index]
    const isUsable = wanted !== undefined && !ports.includes(wanted) && (await isPortFree(wanted))
    ports.push(isUsable ? wanted : await freePort(ports))
  }
  await fs.mkdir(dataDir, { recursive: true })
  await fs.writeFile(file, JSON.stringify(ports))
  return ports
}

/**
 * Below the range that systems hand out to outgoing connections: a port from there could be gone again by the time a
 * server that takes a second to start binds it.
 */
const portsFrom = 20_000
const portsTo = 32_000

async function freePort(except: readonly number[]): Promise<number> {
  for (;;) {
    const port = portsFrom + Math.floor(Math.random() * (portsTo - portsFrom))
    if (!except.includes(port) && (await isPortFree(port))) return port
  }
}

function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = net.createServer()
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false)
      else
        reject(new FreshetError('PORT_TAKEN', `Cannot bind ${loopback}:${port}`, { cause: error }))
    })
    server.listen(port, loopback, () => server.close(() => resolve(true)))
  })
}

async function readPorts(file: string): Promise<readonly number[]> {
  const text = await fs.readFile(file, 'utf8').catch(() => '[]')
  const parsed: unknown = JSON.parse(text)
  return Array.isArray(parsed) ? parsed.filter((port) => Number.isInteger(port)) : []
}

/**
 * Sends `request` to a loopback port and resolves with the first bytes of the answer, or null when nothing answers in
 * time: the question "are you ready?" put to a server.
 */
export function askPort(
  port: number,
  request: Uint8Array,
  withinMs: number,
): Promise<Buffer | null> {
  return new Promise((resolve) => {
    const socket = net.connect({ port, host: loopback })
    const finish = (answer: Buffer | null): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(withinMs, () => finish(null))
    socket.once('error', () => finish(null))
    socket.once('close', () => finish(null))
    socket.once('data', finish)
    socket.once('connect', () => socket.write(request))
  })
}
