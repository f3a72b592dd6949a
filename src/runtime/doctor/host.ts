import fs from 'node:fs/promises'
import net from 'node:net'
import os from 'node:os'
import { createRequire } from 'node:module'
import type { Config } from '../../config/schema.ts'
import { messageOf } from '../../errors.ts'
import { loadHnswlib } from '../index-engines/hnswlib.ts'

export interface HostFacts {
  /** e.g. `20.19.1` */
  readonly nodeVersion: string
  /** What package.json asks for, e.g. `>=20.19`. */
  readonly nodeNeeded: string
  /** Soft limit of open files; null: this system does not say. */
  readonly openFilesMax: number | null
  /** Of the container where it has a limit, else of the machine. */
  readonly memoryBytes: number
  /** Why hnswlib cannot be loaded; null: it can. */
  readonly indexProblem: string | null
  readonly metricsPort: MetricsPort
}

export interface MetricsPort {
  readonly holder: 'nobody' | 'freshet' | 'another'
  /** Why it cannot be had, where nobody holds it; null: it can. */
  readonly problem: string | null
}

const { engines } = createRequire(import.meta.url)('../../../package.json') as {
  engines: { node: string }
}
const askMs = 1_000

export async function examineHost({ metrics }: Config): Promise<HostFacts> {
  const hnswlib = loadHnswlib()
  return {
    nodeVersion: process.versions.node,
    nodeNeeded: engines.node,
    openFilesMax: await openFilesMax(),
    memoryBytes: await memoryBytes(),
    indexProblem: typeof hnswlib === 'string' ? hnswlib : null,
    metricsPort: metrics.enabled
      ? await examinePort(metrics.host, metrics.port)
      : { holder: 'nobody', problem: null },
  }
}

async function openFilesMax(): Promise<number | null> {
  const limits = await fs.readFile('/proc/self/limits', 'utf8').catch(() => '')
  const soft = /^Max open files\s+(\S+)/m.exec(limits)?.[1]
  if (soft === undefined) return null
  return soft === 'unlimited' ? Infinity : Number(soft)
}

/** Version 2 of control groups, then version 1; both say something huge where there is no limit. */
async function memoryBytes(): Promise<number> {
  const files = ['/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes']
  const limits = await Promise.all(
    files.map(async (file) => Number(await fs.readFile(file, 'utf8').catch(() => NaN))),
  )
  return Math.min(os.totalmem(), ...limits.filter((limit) => limit > 0))
}

/** Takes the port for a moment; where that fails, asks who is there. */
async function examinePort(host: string, port: number): Promise<MetricsPort> {
  const server = net.createServer()
  const refusal = await new Promise<NodeJS.ErrnoException | null>((resolve) => {
    server.once('error', resolve)
    server.listen({ host, port, exclusive: true }, () => resolve(null))
  })
  if (refusal === null) {
    await new Promise((resolve) => server.close(resolve))
    return { holder: 'nobody', problem: null }
  }
  if (refusal.code !== 'EADDRINUSE') return { holder: 'nobody', problem: messageOf(refusal) }
  const name = host.includes(':') ? `[${host}]` : host
  const text = await fetch(`http://${name}:${port}/metrics`, { signal: AbortSignal.timeout(askMs) })
    .then((answer) => answer.text())
    .catch(() => '')
  return { holder: text.includes('# TYPE freshet_') ? 'freshet' : 'another', problem: null }
}
