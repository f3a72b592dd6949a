import type { Config } from '../../config/schema.ts'
import { FreshetError, messageOf } from '../../errors.ts'
import type {
  GroupConsumer,
  GroupOptions,
  Logger,
  StartPosition,
  TopicPartition,
} from '../ports.ts'
import { partitionKey } from '../ports.ts'
import { assign, partitionsOf } from './assigners.ts'
import type { Connection } from './connection.ts'
import { protocolType, toFreshetError } from './errors.ts'
import type { Broker, GroupMetadata } from './kafkajs.ts'
import { MemberAssignment, MemberMetadata } from './kafkajs.ts'
import { PartitionReader } from './partition-reader.ts'
import { startOffsets } from './start-offsets.ts'

const noUserData = Buffer.alloc(0)
const closeMs = 1_800

/** Why a member left its place in the group; decides whether it may keep what it owned. */
type Ending = 'rebalance' | 'lost' | 'closed'

interface Membership {
  readonly coordinator: Broker
  readonly generationId: number
  readonly memberId: string
}

/**
 * One member of a consumer group. Partitions that stay with this member over a rebalance are read on without a break and
 * without a call to the handler. Partitions are kept only from one generation to the very next: whoever missed a
 * generation cannot know who owned them meanwhile, so it gives all back first.
 */
export class GroupMember implements GroupConsumer {
  readonly #connection: Connection
  readonly #options: GroupOptions
  readonly #config: Config['kafka']
  readonly #log: Logger
  #reader: PartitionReader
  /** What this member owns. The object tells whether it is still the same ownership when a start position arrives. */
  readonly #owned = new Map<string, TopicPartition>()
  /** Calls of the handler, one after the other. */
  #calls: Promise<void> = Promise.resolve()
  #membership: Membership | null = null
  #generationId = -1
  #memberId = ''
  #wake = new AbortController()
  #mustLeave = false
  #failure: unknown = null
  readonly #running: Promise<void>

  constructor(connection: Connection, options: GroupOptions, config: Config['kafka'], log: Logger) {
    this.#connection = connection
    this.#options = options
    this.#config = config
    this.#log = log.child({ group: options.groupId })
    this.#reader = this.#newReader()
    this.#running = this.#run()
  }

  pause(partition: TopicPartition): void {
    this.#reader.pause(partition)
  }

  resume(partition: TopicPartition): void {
    this.#reader.resume(partition)
  }

  seek(partition: TopicPartition, offset: number): void {
    this.#reader.seek(partition, offset)
  }

  async commit(offsets: readonly (TopicPartition & { readonly offset: number })[]): Promise<void> {
    const membership = this.#membership
    if (membership === null) {
      throw new FreshetError('ABORTED', `${this.#options.groupId}: not in the group at the moment`)
    }
    const topics = [...new Set(offsets.map((o) => o.topic))].map((topic) => ({
      topic,
      partitions: offsets
        .filter((o) => o.topic === topic)
        .map((o) => ({ partition: o.partition, offset: String(o.offset), metadata: null })),
    }))
    try {
      await membership.coordinator.offsetCommit({
        groupId: this.#options.groupId,
        groupGenerationId: membership.generationId,
        memberId: membership.memberId,
        topics,
      })
    } catch (error) {
      throw toFreshetError(error, `commit offsets of ${this.#options.groupId}`)
    }
  }

  async rejoin(): Promise<void> {
    this.#mustLeave = true
    this.#wake.abort()
    await Promise.resolve()
  }

  async close(): Promise<void> {
    this.#reader.stop()
    const membership = this.#membership
    if (membership !== null) await this.#leave(membership)
    this.#connection.close()
    this.#wake.abort()
    // A handler may itself be waiting for a broker that is away.
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, closeMs)))
    await Promise.race([this.#running, late])
    clearTimeout(timer)
  }

  async #run(): Promise<void> {
    let failures = 0
    while (!this.#connection.isClosed) {
      let ending: Ending = 'lost'
      try {
        ending = await this.#serveOneGeneration()
        failures = 0
      } catch (error) {
        if (this.#connection.isClosed) break
        failures++
        this.#log.warn({ error: messageOf(error) }, 'fell out of the consumer group, joining again')
      }
      if (ending !== 'rebalance') await this.#giveUpEverything()
      if (failures > 0) await this.#connection.pause(Math.min(100 * 2 ** failures, 2_000))
    }
    await this.#giveUpEverything()
  }

  /** Joins, hands out what changed, and stays until the next rebalance. */
  async #serveOneGeneration(): Promise<Ending> {
    const coordinator = await this.#connection.retrying('find the coordinator of the group', () =>
      this.#connection.findCoordinator(this.#options.groupId),
    )
    const joined = await this.#join(coordinator)
    const assigned = await this.#sync(coordinator, joined)
    if (joined.generationId !== this.#generationId + 1) await this.#revokeAll()
    this.#generationId = joined.generationId
    this.#membership = {
      coordinator,
      generationId: joined.generationId,
      memberId: joined.memberId,
    }
    this.#wake = new AbortController()
    this.#handOut(assigned)
    return this.#heartbeatUntilRebalance(this.#membership)
  }

  async #join(coordinator: Broker): Promise<GroupMetadata> {
    try {
      const joined = await coordinator.joinGroup({
        groupId: this.#options.groupId,
        sessionTimeout: this.#config.sessionTimeoutMs,
        rebalanceTimeout: this.#config.rebalanceTimeoutMs,
        memberId: this.#memberId,
        groupProtocols: [
          {
            name: `freshet-${this.#options.assignment}`,
            metadata: MemberMetadata.encode({
              version: 1,
              topics: this.#options.topics,
              userData: noUserData,
            }),
          },
        ],
      })
      this.#memberId = joined.memberId
      return joined
    } catch (error) {
      if (protocolType(error) === 'UNKNOWN_MEMBER_ID') this.#memberId = ''
      throw error
    }
  }

  async #sync(coordinator: Broker, joined: GroupMetadata): Promise<readonly TopicPartition[]> {
    const groupAssignment =
      joined.leaderId === joined.memberId ? await this.#assignGroup(joined) : []
    const { memberAssignment } = await coordinator.syncGroup({
      groupId: this.#options.groupId,
      generationId: joined.generationId,
      memberId: joined.memberId,
      groupAssignment,
    })
    return partitionsOf(MemberAssignment.decode(memberAssignment)?.assignment ?? {})
  }

  async #assignGroup(
    joined: GroupMetadata,
  ): Promise<readonly { memberId: string; memberAssignment: Buffer }[]> {
    await this.#connection.refresh()
    const counts = new Map(
      this.#options.topics.map((t) => [t, this.#connection.partitionsOf(t).length]),
    )
    const ids = joined.members.map((member) => member.memberId)
    return [...assign(this.#options.assignment, ids, counts)].map(([memberId, assignment]) => ({
      memberId,
      memberAssignment: MemberAssignment.encode({ version: 1, assignment, userData: noUserData }),
    }))
  }

  #handOut(assigned: readonly TopicPartition[]): void {
    const keys = new Set(assigned.map(partitionKey))
    const lost = [...this.#owned.values()].filter((p) => !keys.has(partitionKey(p)))
    const gained = assigned.filter((p) => !this.#owned.has(partitionKey(p)))
    this.#log.info(
      { gained: gained.map(partitionKey), lost: lost.map(partitionKey), partitions: keys.size },
      'joined the consumer group',
    )
    this.#disown(lost)
    for (const partition of gained) this.#owned.set(partitionKey(partition), partition)
    if (gained.length > 0) this.#enqueue(() => this.#start(gained))
  }

  async #start(gained: readonly TopicPartition[]): Promise<void> {
    const isOwned = (p: TopicPartition) => this.#owned.get(partitionKey(p)) === p
    const positions: ReadonlyMap<string, StartPosition> =
      await this.#options.handler.assigned(gained)
    const offsets = await startOffsets(this.#connection, this.#options.groupId, gained, positions)
    for (const partition of gained.filter(isOwned)) {
      this.#reader.assign(partition, offsets.get(partitionKey(partition))!)
    }
  }

  #disown(lost: readonly TopicPartition[]): void {
    if (lost.length === 0) return
    for (const partition of lost) {
      this.#owned.delete(partitionKey(partition))
      this.#reader.unassign(partition)
    }
    this.#enqueue(() => this.#options.handler.revoked(lost))
  }

  async #revokeAll(): Promise<void> {
    this.#disown([...this.#owned.values()])
    await this.#calls
  }

  async #giveUpEverything(): Promise<void> {
    this.#membership = null
    this.#generationId = -1
    this.#reader.stop()
    await this.#revokeAll()
    this.#failure = null
    this.#reader = this.#newReader()
  }

  #enqueue(call: () => Promise<void>): void {
    this.#calls = this.#calls.then(call).catch((error: unknown) => this.#fail(error))
  }

  /** The handler or the reader failed: leave the group, so that somebody else may try, and join again. */
  #fail(error: unknown): void {
    if (this.#connection.isClosed) return
    this.#failure = error
    this.#wake.abort()
  }

  async #heartbeatUntilRebalance(membership: Membership): Promise<Ending> {
    const { coordinator, generationId: groupGenerationId, memberId } = membership
    const groupId = this.#options.groupId
    for (;;) {
      await this.#sleepUntilWoken(this.#config.heartbeatIntervalMs)
      if (this.#connection.isClosed) return 'closed'
      if (this.#failure !== null || this.#mustLeave) {
        this.#mustLeave = false
        await this.#leave(membership)
        if (this.#failure !== null) throw toFreshetError(this.#failure, `group ${groupId}`)
        return 'lost'
      }
      try {
        await coordinator.heartbeat({ groupId, groupGenerationId, memberId })
      } catch (error) {
        if (protocolType(error) === 'REBALANCE_IN_PROGRESS') return 'rebalance'
        if (protocolType(error) === 'UNKNOWN_MEMBER_ID') this.#memberId = ''
        throw error
      }
    }
  }

  async #sleepUntilWoken(ms: number): Promise<void> {
    const { signal } = this.#wake
    if (signal.aborted) return
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, ms)
      signal.addEventListener('abort', done)
    })
  }

  async #leave({ coordinator, memberId }: Membership): Promise<void> {
    this.#memberId = ''
    this.#membership = null
    const leaving = coordinator
      .leaveGroup({ groupId: this.#options.groupId, memberId })
      .catch((error: unknown) => this.#log.debug({ error: messageOf(error) }, 'leaving failed'))
    await Promise.race([leaving, this.#connection.pause(1_000)])
  }

  #newReader(): PartitionReader {
    const { handler, maxWaitMs = 50, maxBytes = 8_000_000, readUncommitted = false } = this.#options
    return new PartitionReader({
      connection: this.#connection,
      log: this.#log,
      fetch: {
        isReadUncommitted: readUncommitted,
        maxWaitMs,
        maxBytes,
        partitionMaxBytes: Math.min(maxBytes, 1_048_576),
      },
      onBatch: (batch) => handler.onBatch(batch),
      onFailure: (error) => this.#fail(error),
    })
  }
}
