import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openPositions } from '../../../../src/runtime/replay/positions.ts'
import { folderOf } from './support.ts'

const position = { source: 'a', impressions: 1, clicks: 2, items: 3, lastEventTimeMs: 4 }

test('each source has a position of its own, which outlives the process', async () => {
  const dir = join(await folderOf({}), 'state')
  expect(await openPositions(dir).load('a')).toBeNull()
  await openPositions(dir).save(position)
  await openPositions(dir).save({ ...position, clicks: 5 })
  expect(await openPositions(dir).load('a')).toEqual({ ...position, clicks: 5 })
  expect(await openPositions(dir).load('b')).toBeNull()
  expect(readdirSync(dir)).toHaveLength(1)
})

test.each(['', 'null', '{}', '{"version":1,"source":"a","impressions":-1,"clicks":0,"items":0}'])(
  'a damaged position is refused, not taken for the start: %j',
  async (text) => {
    const dir = await folderOf({})
    const positions = openPositions(dir)
    await positions.save(position)
    writeFileSync(join(dir, readdirSync(dir)[0]!), text)
    await expect(positions.load('a')).rejects.toMatchObject({
      code: 'CHECKPOINT_INVALID',
      message: expect.stringContaining('freshet reset') as string,
    })
  },
)
