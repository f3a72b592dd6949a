import { expect, test } from 'vitest'
import {
  describeClusterRequest,
  describeGroupsRequest,
} from '../../../../src/runtime/kafka/describe.ts'

const int = (value: number, bytes: number) => {
  const out = Buffer.alloc(bytes)
  out.writeIntBE(value, 0, bytes)
  return out
}
const text = (value: string | null) =>
  value === null ? int(-1, 2) : Buffer.concat([int(value.length, 2), Buffer.from(value)])
const list = (...items: readonly Buffer[]) => Buffer.concat([int(items.length, 4), ...items])

test('a cluster is described with leaders, replicas and rights', async () => {
  const partition = Buffer.concat([
    ...[int(0, 2), int(3, 4), int(2, 4), int(9, 4)],
    ...[list(int(1, 4), int(2, 4)), list(int(2, 4)), list()],
  ])
  const readAndDescribe = (1 << 3) | (1 << 8)
  const payload = Buffer.concat([
    ...[int(0, 4), list(Buffer.concat([int(2, 4), text('host'), int(9092, 4), text(null)]))],
    ...[text('cluster'), int(2, 4)],
    list(
      Buffer.concat([int(0, 2), text('t'), int(0, 1), list(partition), int(readAndDescribe, 4)]),
      Buffer.concat([int(3, 2), text('gone'), int(0, 1), list(), int(-0x80000000, 4)]),
    ),
    int(-0x80000000, 4),
  ])
  expect(await describeClusterRequest(['t', 'gone']).response.decode(payload)).toEqual({
    brokers: [{ nodeId: 2, host: 'host', port: 9092 }],
    controllerId: 2,
    topics: [
      {
        ...{ topic: 't', errorCode: 0, rights: new Set(['read', 'describe']) },
        partitions: [{ partition: 3, leader: 2, replicas: 2, inSync: 1 }],
      },
      { topic: 'gone', errorCode: 3, partitions: [], rights: null },
    ],
    rights: null,
  })
})

test('a group is described with its members, whatever metadata they carry', async () => {
  const member = Buffer.concat([
    ...[text('m-1'), text('freshet'), text('/10.0.0.1')],
    ...[int(2, 4), Buffer.from('ab'), int(-1, 4)],
  ])
  const payload = Buffer.concat([
    int(0, 4),
    list(
      Buffer.concat([
        ...[int(0, 2), text('g'), text('Stable'), text('consumer'), text('p')],
        ...[list(member), int(1 << 3, 4)],
      ]),
    ),
  ])
  expect(await describeGroupsRequest(['g']).response.decode(payload)).toEqual([
    {
      ...{ groupId: 'g', errorCode: 0, state: 'Stable', rights: new Set(['read']) },
      members: [{ clientId: 'freshet', host: '/10.0.0.1' }],
    },
  ])
})
