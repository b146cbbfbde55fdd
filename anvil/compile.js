// node compile.js <solc package>: standard-JSON in on stdin, {"solc": version, "output": standard-JSON} on stdout.
// The input holds every source already (see compile.py), so nothing is looked up here and the result is a pure
// function of stdin: that is what makes the cache key honest.
'use strict';
const fs = require('fs');
const solc = require(process.argv[2]);
const output = JSON.parse(solc.compile(fs.readFileSync(0, 'utf8')));
fs.writeFileSync(1, JSON.stringify({ solc: solc.version(), output }));
