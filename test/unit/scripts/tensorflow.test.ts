import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { requireTools, setUpTensorflow } from '../../../scripts/tensorflow.js'

async function emptyDir(): Promise<string> {
  const dir = await fs.mkdtemp(path.join(os.tmpdir(), 'freshet-tensorflow-'))
  onTestFinished(() => fs.rm(dir, { recursive: true }))
  return dir
}

test('what is missing to compile TensorFlow is named, all at once', async () => {
  vi.stubEnv('PATH', await emptyDir())
  onTestFinished(() => void vi.unstubAllEnvs())
  await expect(requireTools()).rejects.toThrow(
    expect.objectContaining({
      code: 'TOOL_MISSING',
      message: expect.stringContaining('python3 with pip and g++'),
    }),
  )
})

test('a folder in which TensorFlow does not run is said to be that, with the remedy', async () => {
  const dir = await emptyDir()
  await expect(setUpTensorflow(dir)).rejects.toThrow(
    expect.objectContaining({
      code: 'FILE_INVALID',
      message: expect.stringContaining(`remove ${dir}`),
    }),
  )
})
