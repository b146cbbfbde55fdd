'use strict';
// forge knows a compiler by its --version text; the npm build calls itself Emscripten, which forge does not parse.
const path = require('path');
const solc = require(path.join(__dirname, '..', 'anvil', 'node_modules', 'solc-0.8.27'));
if (process.argv.includes('--version')) {
  const version = solc.version().replace('Emscripten.clang', 'Linux.g++');
  process.stdout.write(`solc, the solidity compiler commandline interface\nVersion: ${version}\n`);
} else {
  const fs = require('fs');
  fs.writeSync(1, '');
  process.stdout.write(solc.compile(fs.readFileSync(0, 'utf8')));
}
