// The driver of `jsonrepair` for Node: times its own loop, as `protocol.rs` describes.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const [folder, prefix] = process.argv.slice(2)
// The package lives in a folder of its own, not beside this file.
const { jsonrepair } = createRequire(join(prefix, 'package.json'))('jsonrepair')

const cases = new Map()

function texts(name) {
  if (!cases.has(name)) {
    const lines = readFileSync(join(folder, `${name}.jsonl`), 'utf8').trimEnd().split('\n')
    cases.set(name, lines.map((line) => JSON.parse(line).text))
  }
  return cases.get(name)
}

function judged(text) {
  try {
    const read = jsonrepair(text)
    JSON.parse(read)
    return JSON.stringify({ read })
  } catch {
    return 'null'
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const [command, name, number] = line.split(' ')
  const items = texts(name)
  if (command === 'judge') {
    for (const text of items.slice(Number(number))) process.stdout.write(`${judged(text)}\n`)
    process.stdout.write('end\n')
    continue
  }
  const [begun, used] = [process.hrtime.bigint(), process.cpuUsage()]
  for (let pass = 0; pass < Number(number); pass++) {
    for (const text of items) {
      try {
        JSON.parse(jsonrepair(text))
      } catch {
        // A refusal takes the time it takes.
      }
    }
  }
  const { user, system } = process.cpuUsage(used)
  process.stdout.write(`${process.hrtime.bigint() - begun} ${(user + system) * 1000}\n`)
}
