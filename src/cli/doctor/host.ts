import type { HostFacts } from '../../runtime/doctor/host.ts'
import { ok, orOk, problem, warning } from './check.ts'
import type { Check } from './check.ts'

const openFilesNeeded = 4_096

export const hostChecks: readonly Check<HostFacts>[] = [
  {
    name: 'node',
    judge: ({ nodeVersion, nodeNeeded }) => [
      isAtLeast(nodeVersion, nodeNeeded.replace(/^>=/, ''))
        ? ok(`Node ${nodeVersion}`)
        : problem(
            `Node ${nodeVersion} is too old`,
            `freshet is written for Node ${nodeNeeded}`,
            `install Node ${nodeNeeded}, e.g. nvm install 22`,
          ),
    ],
  },
  {
    name: 'open-files',
    judge: ({ openFilesMax }) => {
      if (openFilesMax === null) {
        return [{ status: 'unknown', what: 'open files: this system does not say its limit' }]
      }
      return [
        openFilesMax >= openFilesNeeded
          ? ok(`open files: up to ${openFilesMax}`)
          : warning(
              `open files: only ${openFilesMax}`,
              'sockets of a large cluster, the shuffle of a large day and its archive are open at the same time',
              `ulimit -n ${openFilesNeeded} (systemd: LimitNOFILE=${openFilesNeeded})`,
            ),
      ]
    },
  },
]

export const configChecks: readonly Check<HostFacts>[] = [
  {
    name: 'index-engine',
    judge: ({ indexProblem }, { config: { index } }) => {
      if (index.engine === 'exact') return [ok('index: exact, as configured')]
      if (indexProblem === null) return [ok('index: hnswlib is built')]
      const why = `hnswlib-node: ${indexProblem}; catalogues above ${index.exactItemsMax.toLocaleString('en-US')} items are searched exactly, which takes longer`
      const make = index.engine === 'hnswlib' ? problem : warning
      return [make('index: hnswlib is not built', why, 'npm run setup:index')]
    },
  },
  {
    name: 'metrics-port',
    judge: ({ metricsPort: { holder, problem: refusal } }, { config: { metrics } }) => {
      const place = `${metrics.host}:${metrics.port}`
      if (!metrics.enabled) return [ok('metrics are off')]
      if (metrics.port === 0) return [ok('metrics: any free port')]
      if (holder === 'freshet') return [ok(`metrics: ${place}, served by a running freshet`)]
      if (holder === 'nobody' && refusal === null) return [ok(`metrics: ${place} is free`)]
      const why = holder === 'another' ? 'another program listens there' : refusal!
      const mend = 'FRESHET_METRICS_PORT=<a free port>, or metrics.port: 0 for any'
      return [
        problem(`metrics: ${place} cannot be had`, `${why}; a role ends with PORT_TAKEN`, mend),
      ]
    },
  },
  {
    name: 'experiments',
    judge: (_, { config: { learner, generations } }) =>
      orOk(
        [
          ...(learner.order === 'event-time'
            ? [
                warning(
                  'learner.order is event-time',
                  'it is for replays: live, a partition without events holds all learning up',
                  'learner.order: arrival',
                ),
              ]
            : []),
          ...(generations.catchUp
            ? []
            : [
                warning(
                  'generations.catchUp is off',
                  'a new generation goes live without the events of today',
                  'generations.catchUp: true',
                ),
              ]),
        ],
        'no setting that is for experiments',
      ),
  },
  {
    name: 'redis-deadline',
    judge: (_, { config: { recall } }) => [
      recall.redisDeadlineMs * 2 <= recall.defaultTimeoutMs
        ? ok(`recall waits ${recall.redisDeadlineMs} ms for Redis`)
        : warning(
            `recall waits ${recall.redisDeadlineMs} ms for Redis`,
            `a request times out after ${recall.defaultTimeoutMs} ms, so with a slow Redis it is over before a DEGRADED reply`,
            `recall.redisDeadlineMs: ${Math.max(1, Math.floor(recall.defaultTimeoutMs / 2))}`,
          ),
    ],
  },
]

/** Of versions like 20.19.1; what is not named is 0. */
export function isAtLeast(version: string, needed: string): boolean {
  const parts = (text: string): number[] => text.split('.').map((part) => Number.parseInt(part, 10))
  const found = parts(version)
  for (const [i, part] of parts(needed).entries()) {
    const own = found[i] ?? 0
    if (own !== part) return own > part
  }
  return true
}
