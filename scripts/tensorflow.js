// TensorFlow for `model.engine: tfjs`, in a folder of its own: @tensorflow/tfjs-node fetches binaries when it is installed, and as a dependency it
// would make `npm ci` fail wherever their host is out of reach. Plain JavaScript that needs no dependency, like fetch-servers.js.
import fs from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'
import util from 'node:util'
import { pathToFileURL } from 'node:url'
import { failure, fetchOnce, run } from './fetch-servers.js'

const version = '4.22.0'
const headersVersion = '1.9.0'
const cacheDir = path.resolve(import.meta.dirname, '../.freshet/cache')
export const tensorflowHome = path.join(cacheDir, `tfjs-node-${version}`)

const binariesUrl =
  'https://storage.googleapis.com/tensorflow/libtensorflow/libtensorflow-cpu-linux-x86_64-2.9.1.tar.gz'
const reachableWithinMs = 5_000
/** Older wheels do not have the libraries that the addon is linked against. */
const wheel =
  'tensorflow-cpu==2.12.1 --hash=sha256:7ffb595707a8fb376deaddc768784c7a0242b16cbc6e06393b1733b2ce19f855'
const wheelPlatform = [
  '--python-version=3.11',
  '--implementation=cp',
  '--platform=manylinux2014_x86_64',
]

/** @returns what `import '@tensorflow/tfjs-node'` would, from the folder `home` */
export function loadTensorflow(home) {
  // It still calls them; Node 23 took them away.
  util.isNullOrUndefined ??= (value) => value === null || value === undefined
  util.isArray ??= Array.isArray
  return createRequire(path.join(home, 'package.json'))('@tensorflow/tfjs-node')
}

/**
 * Installs it unless it is there, and multiplies once. With its own binaries where their host can be reached, else with those of the Python
 * wheel of TensorFlow.
 * @throws Error with `code` TOOL_MISSING, FILE_MISSING or FILE_INVALID
 */
export async function setUpTensorflow(home = tensorflowHome) {
  await fetchOnce(home, async (workDir) => {
    await fs.writeFile(path.join(workDir, 'package.json'), '{ "private": true }\n')
    if (await isReachable(binariesUrl)) await npmInstall(workDir, ['--ignore-scripts=false'])
    else await installWithWheel(workDir)
    await check(workDir)
  })
  await check(home)
}

async function isReachable(url) {
  const signal = AbortSignal.timeout(reachableWithinMs)
  return fetch(url, { method: 'HEAD', signal }).then(
    (response) => response.ok,
    () => false,
  )
}

async function installWithWheel(workDir) {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    const where = `${process.platform} on ${process.arch}`
    throw failure(
      'FILE_MISSING',
      `${binariesUrl} cannot be reached, and for ${where} there is no other way`,
    )
  }
  await requireTools()
  await npmInstall(workDir, ['--ignore-scripts'], `node-api-headers@${headersVersion}`)
  await unpackWheel(workDir)
  await compileAddon(workDir)
}

/** @throws Error that names everything that is missing */
export async function requireTools() {
  const tools = [
    ['python3', ['-m', 'pip', '--version'], 'python3 with pip'],
    ['g++', ['--version'], 'g++'],
  ]
  const missing = []
  for (const [command, args, name] of tools) {
    await run(command, args).catch(() => missing.push(name))
  }
  if (missing.length === 0) return
  throw failure(
    'TOOL_MISSING',
    `it needs ${missing.join(' and ')} (Debian: apt-get install python3-pip g++)`,
  )
}

function npmInstall(workDir, options, ...packages) {
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error']
  const args = ['install', '--prefix', workDir, ...quiet, ...options]
  return run('npm', [...args, `@tensorflow/tfjs-node@${version}`, ...packages])
}

/** Two libraries and the headers of the C interface, out of 230 MB. */
async function unpackWheel(workDir) {
  const requirements = path.join(workDir, 'requirements.txt')
  const dest = path.join(workDir, 'wheel')
  await fs.writeFile(requirements, `${wheel}\n`)
  const options = [
    '--quiet',
    '--no-deps',
    '--only-binary=:all:',
    '--require-hashes',
    ...wheelPlatform,
  ]
  await run('python3', ['-m', 'pip', 'download', ...options, '--dest', dest, '-r', requirements])
  const [name] = await fs.readdir(dest)
  const script = `
import os, re, shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel:
    for name in wheel.namelist():
        library = re.fullmatch(r'tensorflow/(lib\\w+\\.so\\.2)', name)
        header = re.fullmatch(r'tensorflow/(include/tensorflow/((tsl/)?c/.*|(core|tsl)/platform/ctstring\\w*)\\.h)', name)
        if not (library or header): continue
        to = os.path.join(sys.argv[2], 'lib/' + library[1] if library else header[1])
        os.makedirs(os.path.dirname(to), exist_ok=True)
        with wheel.open(name) as source, open(to, 'wb') as sink: shutil.copyfileobj(source, sink)
`
  await run('python3', ['-c', script, path.join(dest, name), path.join(workDir, 'deps')])
  await fs.rm(dest, { recursive: true })
}

async function compileAddon(workDir) {
  const modules = path.join(workDir, 'node_modules')
  const deps = path.join(workDir, 'deps')
  const tfjs = path.join(modules, '@tensorflow', 'tfjs-node')
  const out = path.join(tfjs, 'lib', 'napi-v8')
  await fs.mkdir(out, { recursive: true })
  const includes = [
    path.join(modules, '@tensorflow'),
    path.join(deps, 'include'),
    path.join(modules, 'node-api-headers', 'include'),
  ]
  await run('g++', [
    ...['-O2', '-fPIC', '-shared', '-std=c++17', '-DNAPI_VERSION=8'],
    ...includes.map((folder) => `-I${folder}`),
    ...['tfjs_backend.cc', 'tfjs_binding.cc'].map((file) => path.join(tfjs, 'binding', file)),
    `-L${path.join(deps, 'lib')}`,
    ...['-l:libtensorflow_cc.so.2', '-l:libtensorflow_framework.so.2'],
    // Relative, because the folder is renamed when it is whole.
    '-Wl,-rpath,$ORIGIN/../../../../../deps/lib',
    ...['-o', path.join(out, 'tfjs_binding.node')],
  ])
}

/** In a process of its own, which ends where a library does not fit the machine. */
async function check(home) {
  const script = `
import { loadTensorflow } from ${JSON.stringify(pathToFileURL(import.meta.filename))}
const tf = loadTensorflow(${JSON.stringify(home)})
const [product] = tf.matMul([[1, 2]], [[3], [4]]).dataSync()
if (product !== 11) throw new Error('1 x 3 + 2 x 4 = ' + product)`
  await run(process.execPath, ['--input-type=module', '-e', script]).catch((cause) => {
    const remedy = `remove ${home} and set it up again`
    throw failure('FILE_INVALID', `TensorFlow does not run, ${cause.message}\n${remedy}`)
  })
}
