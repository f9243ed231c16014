// Prints what the AsyncAPI parser has to say about a document, as JSON.
import { readFileSync } from 'node:fs'
import { Parser } from '@asyncapi/parser'

const { diagnostics } = await new Parser().parse(readFileSync(process.argv[2], 'utf8'))
console.log(JSON.stringify(diagnostics.map(({ code, message, path }) => `${code} at ${path.join('/')}: ${message}`)))
