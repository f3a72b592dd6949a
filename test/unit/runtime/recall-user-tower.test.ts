import { expect, test } from 'vitest'
import { Random } from '../../../src/model/hash.ts'
import { initialise } from '../../../src/model/initialise.ts'
import { oracleEngine } from '../../../src/model/oracle.ts'
import { noFeatures } from '../../../src/records/types.ts'
import { UserTower } from '../../../src/runtime/recall-user-tower.ts'
import { deepModel, floats } from '../../support/engine-conformance.ts'

test.each([8, 17])(
  'requests at once get vectors of width %i, each of its own row',
  async (outputDim) => {
    const model = deepModel(outputDim, [], [])
    const { dense } = initialise(model, 2)
    const tensors = await oracleEngine.open(model, dense)
    const tower = new UserTower(tensors, model, dense)
    const rows = Array.from({ length: 70 }, (_, i) => floats(model.dim, new Random(4, i)))
    const vectors = await Promise.all(rows.map((row) => tower.vector(row, noFeatures)))
    for (const [i, row] of rows.entries()) {
      expect(vectors[i]).toEqual(await tensors.vectors('user', row, new Float32Array(0), 1))
      expect(vectors[i]).toHaveLength(outputDim)
    }
  },
)
