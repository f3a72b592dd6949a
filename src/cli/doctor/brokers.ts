import type { BrokerFacts, ClusterFacts } from '../../runtime/doctor/kafka.ts'
import type { ApiVersions } from '../../runtime/kafka/examine.ts'
import { ifTold, ok, orOk, plural, problem, seconds, untoldFinding } from './check.ts'
import type { Check, Finding } from './check.ts'

/** What freshet cannot do without: [API key, version that it sends; 0: any]. */
const needed: Readonly<Record<string, readonly [number, number]>> = {
  Fetch: [1, 11],
  OffsetFetch: [9, 7],
  InitProducerId: [22, 0],
  AddPartitionsToTxn: [24, 0],
  EndTxn: [26, 0],
  TxnOffsetCommit: [28, 0],
}
const clockAheadMaxMs = 1_000

export const brokerChecks: readonly Check<readonly BrokerFacts[]>[] = [
  {
    name: 'reachable',
    judge: (brokers) =>
      brokers.map(({ address, isAdvertised, versions }) => {
        if (versions.isTold) return ok(`${address} answers`)
        if (!isAdvertised) {
          return problem(`${address} does not answer`, versions.why, remedyOf(versions.why))
        }
        return problem(
          `${address}, as the cluster advertises it, does not answer`,
          `${versions.why}; clients are sent there by the brokers that do answer`,
          'set advertised.listeners of that broker to an address that is reached from here',
        )
      }),
  },
  {
    name: 'api-versions',
    judge: (brokers) =>
      brokers.flatMap(({ address, versions }) =>
        versions.isTold
          ? versionFinding(address, versions.value)
          : untoldFinding(`${address} does not answer`),
      ),
  },
]

function versionFinding(address: string, versions: ApiVersions): Finding {
  const missing = Object.entries(needed).filter(([, [key, version]]) => {
    const range = versions[key]
    if (range === undefined || range.maxVersion < version) return true
    return version > 0 && range.minVersion > version
  })
  if (missing.length === 0) return ok(`${address} knows transactions and every request needed`)
  const names = missing.map(([name, [, version]]) => `${name} ${version}`).join(', ')
  return problem(
    `${address} does not know ${names}`,
    'freshet needs transactions, and committed offsets that are stable: Kafka 2.5 or newer',
    'use brokers of Kafka 2.5 or newer',
  )
}

/** By the words of sockets, TLS and SASL. */
export function remedyOf(why: string): string {
  if (/ENOTFOUND|EAI_AGAIN/.test(why)) return 'kafka.brokers: an address whose name resolves here'
  if (/SASL|[Aa]uthentication/.test(why)) {
    return 'kafka.sasl.mechanism, FRESHET_KAFKA_USERNAME and FRESHET_KAFKA_PASSWORD as the broker knows them; mechanism none, if it asks for none'
  }
  if (/altnames/.test(why)) {
    return 'kafka.brokers, and advertised.listeners of the brokers: names that are in their certificates'
  }
  if (/alert.*(bad certificate|certificate required)/.test(why)) {
    return 'kafka.tls.certFile and kafka.tls.keyFile: the broker asks for a certificate of the client'
  }
  if (/certificate|self-signed|self signed|CERT|issuer/.test(why)) {
    return "kafka.tls.caFile: the certificate of the broker's authority"
  }
  if (/wrong version number|SSL|TLS|EPROTO/.test(why)) {
    return 'kafka.tls.enabled: false, or the TLS port of the broker'
  }
  if (/disconnected|ECONNRESET|closed/i.test(why)) {
    return 'kafka.tls.enabled: true, if this is a TLS port; else let this machine reach it: address, firewall'
  }
  return 'start the broker, or set FRESHET_KAFKA_BROKERS=host:port to where it listens'
}

export const clusterChecks: readonly Check<ClusterFacts>[] = [
  {
    name: 'controller',
    judge: ({ controllerId, brokers }) => [
      controllerId >= 0
        ? ok(`${plural(brokers.length, 'broker')}, controller known`)
        : problem(
            'the cluster has no controller',
            'no topic can be created and no leader chosen',
            'kafka-metadata-quorum.sh --bootstrap-server <broker> describe --status says which controller is missing: start it',
          ),
    ],
  },
  {
    name: 'replication-factor',
    judge: ({ brokers }, { config }) => {
      const { replicationFactor } = config.kafka
      return [
        brokers.length >= replicationFactor
          ? ok(`replication factor ${replicationFactor} fits ${plural(brokers.length, 'broker')}`)
          : problem(
              `replication factor ${replicationFactor}, but ${plural(brokers.length, 'broker')}`,
              'topics cannot be created',
              `kafka.replicationFactor: ${brokers.length}, or start more brokers`,
            ),
      ]
    },
  },
  {
    name: 'transaction-timeout',
    judge: ({ settings }, { config }) =>
      ifTold(settings, (found) => {
        const own = config.kafka.transactionTimeoutMs
        const most = Number(found['transaction.max.timeout.ms'] ?? Infinity)
        return [
          own <= most
            ? ok(`transactions may take ${seconds(own)}`)
            : problem(
                `kafka.transactionTimeoutMs is ${own}, the broker allows ${most}`,
                'transactional producers are refused: no joiner, learner or controller starts',
                `kafka.transactionTimeoutMs: ${most}`,
              ),
        ]
      }),
  },
  {
    name: 'session-timeout',
    judge: ({ settings }, { config }) =>
      ifTold(settings, (found) => {
        const own = config.kafka.sessionTimeoutMs
        const least = Number(found['group.min.session.timeout.ms'] ?? 0)
        const most = Number(found['group.max.session.timeout.ms'] ?? Infinity)
        return [
          own >= least && own <= most
            ? ok(`sessions of consumers last ${seconds(own)}`)
            : problem(
                `kafka.sessionTimeoutMs is ${own}, the broker allows ${least} to ${most}`,
                'consumers cannot join their groups',
                `kafka.sessionTimeoutMs: ${own < least ? least : most}`,
              ),
        ]
      }),
  },
  {
    name: 'broker-clock',
    judge: ({ newest, topicSettings, readAtMs }) =>
      ifTold(newest, (records) =>
        ifTold(topicSettings, (settings) => {
          const stamped = records.filter(
            ({ topic }) => settings.get(topic)?.['message.timestamp.type'] === 'LogAppendTime',
          )
          if (stamped.length === 0) {
            return [{ status: 'unknown', what: 'clock: no record yet that a broker has stamped' }]
          }
          const newestMs = Math.max(...stamped.map(({ timestampMs }) => timestampMs))
          const early = newestMs - readAtMs > clockAheadMaxMs
          return orOk(
            early ? [clockFinding(newestMs - readAtMs)] : [],
            'clock: no broker is ahead of this machine',
          )
        }),
      ),
  },
]

function clockFinding(aheadMs: number): Finding {
  return problem(
    `clock: a broker is at least ${seconds(aheadMs)} ahead of this machine`,
    'arrival is the time of the broker, so delays are measured wrong and may be negative',
    'synchronise the clocks, e.g. timedatectl set-ntp true, on the brokers and here',
  )
}
